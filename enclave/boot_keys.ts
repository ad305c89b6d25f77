import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import {
  makeEnclaveSignature,
  SIGNATURE_ALGORITHMS,
  type SignatureAlgorithm,
} from "../lib/attestation/signature_message.ts";
import { checkBootKey, digestBootKeys, MAX_BOOT_KEYS } from "../lib/attestation/boot_key_digest.ts";
import { checkFields, checkOneOf } from "../lib/core/checks.ts";
import { encodeHex } from "../lib/core/encoding.ts";
import { DisposedError } from "../lib/core/errors.ts";

/** Options of {@link BootKeys.create}. */
export interface BootKeysOptions {
  /** Algorithm of the signing key: ECDSA on P-256 with SHA-256, or Ed25519. Default: `ES256`. */
  readonly algorithm?: SignatureAlgorithm | undefined;
}

/** Key pair in the runtime's own memory. */
interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/**
 * Keys that an enclave makes when it starts and loses when it ends: the one it signs with, and the public ones of its
 * channels. Every attestation document that the application asks for holds their digest, so that whoever verifies the
 * document can trust each of them.
 *
 * The private signing key stays in the runtime's own memory: no JavaScript holds its bytes.
 *
 * Not guaranteed: that dispose wipes the private key at once. It is dropped, and the runtime wipes it when it collects it.
 * Deno may leave a copy of its own; it is `node:crypto` here since WebCrypto on Deno leaves two for each signature.
 */
export class BootKeys implements Disposable {
  /** Random id of this boot, 32 lowercase hex digits. */
  readonly bootId: string = encodeHex(randomBytes(BOOT_ID_BYTES));
  /** Algorithm of the signing key. */
  readonly algorithm: SignatureAlgorithm;
  readonly #publicKeys = new Map<string, Uint8Array>();
  #signingKey: KeyObject | undefined;
  #digest: Promise<Uint8Array<ArrayBuffer>> | undefined;
  #wasDigested = false;

  /** @internal */
  constructor(algorithm: SignatureAlgorithm, { publicKey, privateKey }: KeyPair) {
    this.algorithm = algorithm;
    this.#signingKey = privateKey;
    this.add(SIGNING_KEY, publicKey.export({ format: "der", type: "spki" }));
  }

  /**
   * Makes a boot id and the signing key, whose public key is named `sign`.
   *
   * @param options Algorithm of the signing key
   * @returns The keys; the caller disposes them
   * @throws {TypeError} When an option is unknown, or the algorithm is none of the two
   */
  static create(options: BootKeysOptions = {}): BootKeys {
    const given = checkFields("options of BootKeys", options, ["algorithm"]);
    const algorithm = checkOneOf("algorithm", given.algorithm, SIGNATURE_ALGORITHMS) ?? "ES256";
    return new BootKeys(algorithm, makeSigningKey(algorithm));
  }

  /** Public keys by name, copied; `sign` is the signing key's, SPKI DER. */
  get publicKeys(): Readonly<Record<string, Uint8Array>> {
    return Object.freeze(Object.fromEntries([...this.#publicKeys].map(([name, key]) => [name, key.slice()])));
  }

  /**
   * Adds the public key of a channel, or of the application.
   *
   * @param name 1 to 64 letters, digits, `.`, `_` and `-`, which no other key has; not `boot`
   * @param publicKey 1 to 8192 bytes: SPKI DER, or as the key's own protocol writes it. Copied
   * @throws {TypeError} When the name or the key is of a wrong form, the name is taken, or a document may hold the
   *   digest already
   * @throws {RangeError} When the key is empty or too long, or there are 32 already
   */
  add(name: string, publicKey: Uint8Array): void {
    const key = checkBootKey(name, publicKey);
    if (this.#wasDigested) {
      throw new TypeError(`Cannot add key ${name}: documents hold the digest of the others already`);
    }
    if (this.#publicKeys.has(name)) throw new TypeError(`Cannot add key ${name}: there is one already`);
    if (this.#publicKeys.size === MAX_BOOT_KEYS) {
      throw new RangeError(`Cannot add key ${name}: there are ${MAX_BOOT_KEYS} already`);
    }
    this.#publicKeys.set(name, Uint8Array.from(key));
  }

  /**
   * Puts another public key in the place of a channel's: keys of channels rotate. Documents that are asked for from then
   * on vouch for the new one; the channel decides for how long it still takes the old one.
   *
   * @param name Name of a key that was added
   * @param publicKey 1 to 8192 bytes, as for {@link BootKeys.add}. Copied
   * @throws {TypeError} When the key is of a wrong form, or no such key was added
   * @throws {RangeError} When the key is empty or too long
   */
  replace(name: string, publicKey: Uint8Array): void {
    const key = checkBootKey(name, publicKey);
    if (name === SIGNING_KEY || !this.#publicKeys.has(name)) {
      throw new TypeError(`Cannot replace key ${name}: no such key was added`);
    }
    this.#publicKeys.set(name, Uint8Array.from(key));
    this.#digest = undefined;
  }

  /**
   * Digests the boot id and the keys, for the user data of attestation documents. No key can be added from then on. It is
   * the digest of {@link BootKeys.publicKeys} at the time of the call, not of its answer.
   *
   * @returns 32 bytes, the caller's own
   */
  async digest(): Promise<Uint8Array<ArrayBuffer>> {
    this.#wasDigested = true;
    this.#digest ??= digestBootKeys(this.bootId, this.publicKeys);
    return (await this.#digest).slice();
  }

  /**
   * Signs a statement about data: purpose, time, boot id and SHA-256 of the data, as COSE_Sign1. Callers verify it with
   * `verifyEnclaveSignature()`.
   *
   * @param data Any number of bytes
   * @param purpose 1 to 128 printable ASCII characters: a signature counts for no other purpose
   * @param timeMs Time to state, milliseconds since 1970. Default: now
   * @returns At most 512 bytes
   * @throws {DisposedError} After dispose
   * @throws {TypeError} When the data are no Uint8Array, or the purpose is no string or has other characters
   * @throws {RangeError} When the purpose is empty or too long
   */
  async sign(
    data: Uint8Array,
    purpose: string,
    timeMs: number = Date.now(),
  ): Promise<Uint8Array<ArrayBuffer>> {
    const key = this.#signingKey;
    if (key === undefined) throw new DisposedError("BootKeys");
    if (!(data instanceof Uint8Array)) throw new TypeError("data must be a Uint8Array");
    const statement = { purpose, timeMs, bootId: this.bootId };
    const hash = HASHES[this.algorithm];
    return await makeEnclaveSignature(statement, data, {
      algorithm: this.algorithm,
      sign: (bytes) => new Uint8Array(sign(hash, bytes, { key, dsaEncoding: "ieee-p1363" })),
    });
  }

  /** Drops the private key: nothing more can be signed. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#signingKey = undefined;
  }
}

/** Name of the signing key. */
const SIGNING_KEY = "sign";
const BOOT_ID_BYTES = 16;

/** Hash functions to sign with; Ed25519 has its own. */
const HASHES = { ES256: "sha256", EdDSA: null } as const;

/**
 * Makes a key pair to sign with. It is made on this thread, which takes less than a millisecond: on another, Deno leaves
 * copies of the private key behind.
 *
 * @param algorithm Algorithm of the key
 * @returns Key pair, whose private half only the runtime has
 */
export function makeSigningKey(algorithm: SignatureAlgorithm): KeyPair {
  if (algorithm === "EdDSA") return generateKeyPairSync("ed25519");
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}
