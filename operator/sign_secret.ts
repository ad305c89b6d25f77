import { checkFields } from "../lib/core/checks.ts";
import {
  checkSecretStatement,
  encodeSignedSecret,
  importPublisherKey,
  parseSignedSecret,
  secretStatementMessage,
  verifySignedSecret,
} from "../lib/wire/signed_secret.ts";
import { signingAlgorithm, type SigningKey } from "./signing_key.ts";

/** Statement of a publisher about a sealed secret, and the key to sign it with. */
export interface SignSecretRequest {
  /** Name that the enclave declares the secret under: 1 to 64 letters, digits, `.`, `_` and `-`. */
  readonly name: string;
  /** Version, 0 to 2^53 - 1. The enclave refuses one below its least version. */
  readonly version: number;
  /** Secret as {@link sealWithKms} or {@link sealWithAge} sealed it. */
  readonly sealed: Uint8Array;
  /** Private key from {@link importSigningKey}. */
  readonly key: SigningKey;
  /** Public key that the enclave pins, SPKI in PEM. When it is given, the signature is verified with it. */
  readonly publisher?: string | undefined;
}

const FIELDS = ["name", "version", "sealed", "key", "publisher"];

/**
 * Signs the name, version and SHA-256 of a sealed secret: KMS and age say who may read a secret, and not who wrote it.
 *
 * Not guaranteed: that an enclave takes the newest version. It takes any from its least version on.
 *
 * @param request Statement, sealed secret and key
 * @returns Bytes to send in place of the sealed ones
 * @throws {TypeError} When a field is missing, unknown or of a wrong type, or the key is no signing key of the right kind
 * @throws {RangeError} When the version is out of range, or the publisher's key is of another private key
 * @example
 * ```ts
 * import { signSecret } from "enclave-kms/operator";
 *
 * const algorithm = { name: "ECDSA", namedCurve: "P-256" };
 * const { privateKey } = await crypto.subtle.generateKey(algorithm, false, ["sign", "verify"]);
 * const sealed = new TextEncoder().encode("age-encryption.org/v1 …");
 * const signed = await signSecret({ name: "orders", version: 1, sealed, key: privateKey });
 * signed.length > sealed.length + 64; // true
 * ```
 */
export async function signSecret(request: SignSecretRequest): Promise<Uint8Array<ArrayBuffer>> {
  const { name, version, sealed, key, publisher } = checkFields("sign secret request", request, FIELDS);
  if (!(sealed instanceof Uint8Array) || sealed.length === 0) {
    throw new TypeError("sealed must be a Uint8Array that is not empty");
  }
  if (parseSignedSecret(sealed) !== undefined) throw new TypeError("sealed must not be signed already");
  const algorithm = algorithmOf(key);
  const bytes = sealed.slice();
  const sha256 = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const statement = checkSecretStatement({ name, version, sha256 });
  const message = secretStatementMessage(statement);
  const signature = new Uint8Array(await crypto.subtle.sign(algorithm, key, message));
  const parts = { statement, signature, sealed: bytes };
  if (publisher !== undefined && !await verifySignedSecret(parts, await importPublisherKey(publisher))) {
    throw new RangeError("publisher must be the public key of the signing key: the enclave would refuse it");
  }
  return encodeSignedSecret(parts);
}

function algorithmOf(key: SigningKey): { name: string; hash?: string } {
  const algorithm = key instanceof CryptoKey ? signingAlgorithm(key) : undefined;
  if (algorithm !== undefined) return algorithm;
  throw new TypeError("key must be a CryptoKey that signs, of Ed25519 or P-256");
}
