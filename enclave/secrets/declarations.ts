/**
 * Declarations of the secrets that an application waits for when it starts. They are data, part of the image and so of
 * PCR0: what they pin, the parent cannot change.
 *
 * @module
 */

/** Secret that an application waits for. */
export interface SecretDeclaration {
  /** Name: 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first. */
  readonly name: string;
  /** Way in which it is sealed: {@link kmsSecret}, {@link ageSecret}, {@link sharesOf} or {@link sealedSecret}. */
  readonly from: SecretSource;
  /**
   * Vsock port that it arrives on, which no bridge may map. Default: that of `AGE_KEY_VSOCK_PORT` (7101) for the name
   * `age-key`, and of `KEY_SHARES_VSOCK_PORT` (7102) for `key-shares`; other names need one, except for `sealedSecret()`.
   */
  readonly port?: number | undefined;
  /** Whether the start goes on without it when the window ends. Default: false. */
  readonly optional?: boolean | undefined;
  /** Most bytes that are taken, 1 to 1048576. Default: 8192 for `kmsSecret()`, otherwise 65536. */
  readonly maxBytes?: number | undefined;
  /** Public key of the publisher whose signature it must have: PEM of a P-256 or Ed25519 key. Needs `minVersion`. */
  readonly publisher?: string | undefined;
  /** Least version that is taken, 0 to 2^53 - 1: an older one is refused. */
  readonly minVersion?: number | undefined;
  /** SHA-256 of the sealed bytes, 64 hex digits, in the place of a publisher: this very file and no other. */
  readonly sha256?: string | undefined;
  /**
   * Written out as `true` where the parent chooses this secret, without any pin: whoever controls the parent can put in
   * one of their own. The log warns of it. Default: pins are demanded.
   */
  readonly chosenByParent?: true | undefined;
}

/** Secret encrypted with KMS, at most 4096 bytes of plaintext. */
export interface KmsSource {
  /** Kind of the source. */
  readonly kind: "kms";
  /** Full ARN of the key; undefined where the parent chooses it. */
  readonly keyArn: string | undefined;
  /** Encryption context that the secret must have been encrypted with. */
  readonly encryptionContext: Readonly<Record<string, string>> | undefined;
}

/** Secret encrypted with age, for a recipient on X25519. */
export interface AgeSource {
  /** Kind of the source. */
  readonly kind: "age";
  /** Name of the secret that is the identity. */
  readonly identity: string;
  /** Recipient that the identity must have, `age1…`; undefined where the parent chooses it. */
  readonly recipient: string | undefined;
}

/** Secret that comes over a channel which ends in this boot of the enclave. */
export interface SealedSource {
  /** Kind of the source. */
  readonly kind: "sealed";
}

/** Secret whose shares come sealed, and are joined. */
export interface SharesSource {
  /** Kind of the source. */
  readonly kind: "shares";
  /** Way in which each share is sealed. */
  readonly from: KmsSource | AgeSource;
  /** Number of shares that give the secret back, 2 to 255. */
  readonly threshold: number;
  /** SHA-256 that the joined secret must have, 64 hex digits. */
  readonly sha256: string;
}

/** Way in which a secret is sealed. */
export type SecretSource = KmsSource | AgeSource | SealedSource | SharesSource;

/**
 * Declares a secret that KMS encrypted. Both pins are needed unless the declaration says `chosenByParent: true`.
 *
 * @param pins Full ARN of the key, `arn:aws:kms:<region>:<account>:key/<id>`, and the encryption context, at least one pair
 * @returns The source
 * @example
 * ```ts
 * import { kmsSecret } from "enclave-kms/enclave";
 *
 * const keyArn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
 * kmsSecret({ keyArn, encryptionContext: { secret: "age-key" } }).kind; // "kms"
 * ```
 */
export function kmsSecret(
  pins: {
    readonly keyArn?: string | undefined;
    readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
  },
): KmsSource {
  const { keyArn, encryptionContext } = pins;
  return { kind: "kms", keyArn, encryptionContext };
}

/**
 * Declares a secret that was encrypted with age, to an identity that arrives as a secret declared earlier. That one is
 * used for nothing else, and is not handed over.
 *
 * @param pins Name of the earlier secret, and its recipient, `age1…`, which is needed unless the declaration says
 *   `chosenByParent: true`
 * @returns The source
 * @example
 * ```ts
 * import { ageSecret } from "enclave-kms/enclave";
 *
 * const recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
 * ageSecret({ identity: "age-key", recipient }).kind; // "age"
 * ```
 */
export function ageSecret(
  pins: { readonly identity: string; readonly recipient?: string | undefined },
): AgeSource {
  const { identity, recipient } = pins;
  return { kind: "age", identity, recipient };
}

/**
 * Declares a secret that comes past the parent: an operator verifies the enclave's attestation document and posts the
 * secret to `/v1/secrets/<name>`, sealed to this boot or over TLS that ends inside the enclave.
 *
 * @returns The source
 * @example
 * ```ts
 * import { sealedSecret } from "enclave-kms/enclave";
 *
 * sealedSecret().kind; // "sealed"
 * ```
 */
export function sealedSecret(): SealedSource {
  return { kind: "sealed" };
}

/**
 * Declares a secret that was split into shares, of which `threshold` give it. They come in one file or in several,
 * each of them sealed, and signed where there is a publisher.
 *
 * @param shares Way in which each file of shares is sealed, number of shares that give the secret, 2 to 255, and SHA-256
 *   of the secret, 64 hex digits. The hash is public: the secret must not be guessable
 * @returns The source
 * @example
 * ```ts
 * import { ageSecret, sharesOf } from "enclave-kms/enclave";
 *
 * const recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
 * const from = ageSecret({ identity: "age-key", recipient });
 * sharesOf({ from, threshold: 2, sha256: "ab".repeat(32) }).kind; // "shares"
 * ```
 */
export function sharesOf(
  shares: { readonly from: KmsSource | AgeSource; readonly threshold: number; readonly sha256: string },
): SharesSource {
  const { from, threshold, sha256 } = shares;
  return { kind: "shares", from, threshold, sha256 };
}
