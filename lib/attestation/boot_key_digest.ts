import { checkRecord } from "../core/checks.ts";
import { type CborValue, encodeCbor } from "../core/encode_cbor.ts";

/** Most keys of one boot. */
export const MAX_BOOT_KEYS = 32;
/** Longest key of a boot, in bytes: a post-quantum one fits. */
export const MAX_BOOT_KEY_BYTES = 8192;

/**
 * Digests the public keys of an enclave's boot. The digest is the user data of the enclave's attestation documents: it
 * binds any number of keys of any length to a document, which has room for 512 bytes.
 *
 * It is the SHA-256 of deterministic CBOR (RFC 8949, section 4.2.1): one map, in which `boot` names the 16 bytes of the
 * boot id, and each key's name its bytes. docs/attestation.md has an example for other languages.
 *
 * @param bootId Boot id, 32 lowercase hex digits
 * @param keys Keys by name, 1 to 32: SPKI DER, or as the key's own protocol writes it, 1 to 8192 bytes each. A name has
 *   1 to 64 letters, digits, `.`, `_` and `-`, begins with a letter or digit, and is not `boot`
 * @returns 32 bytes
 * @throws {TypeError} When the boot id, a name or a key is of a wrong form
 * @throws {RangeError} When there are no keys or more than 32, or one has no bytes or more than 8192
 * @example
 * ```ts
 * import { digestBootKeys } from "enclave-kms/attestation";
 *
 * const digest = await digestBootKeys("00112233445566778899aabbccddeeff", { sign: new Uint8Array([1, 2, 3]) });
 * digest.length; // 32
 * ```
 */
export async function digestBootKeys(
  bootId: string,
  keys: Readonly<Record<string, Uint8Array>>,
): Promise<Uint8Array<ArrayBuffer>> {
  const entries = checkRecord("keys", keys).map(([name, key]) => [name, checkBootKey(name, key)] as const);
  if (entries.length === 0 || entries.length > MAX_BOOT_KEYS) {
    throw new RangeError(`keys must be 1 to ${MAX_BOOT_KEYS}`);
  }
  const map = new Map<string, CborValue>([[BOOT_ENTRY, bootIdBytes(bootId)], ...entries]);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", encodeCbor(map)));
}

/**
 * Checks the name of a key, and the key.
 *
 * @param name 1 to 64 letters, digits, `.`, `_` and `-`, not `boot`
 * @param key 1 to 8192 bytes
 * @returns The key
 * @throws {TypeError} When the name or the key is of a wrong form
 * @throws {RangeError} When the key is empty or too long
 */
export function checkBootKey(name: string, key: unknown): Uint8Array {
  if (!KEY_NAME.test(name) || name === BOOT_ENTRY) {
    throw new TypeError(
      "keys must have names of 1 to 64 letters, digits, `.`, `_` and `-`, other than `boot`",
    );
  }
  if (!(key instanceof Uint8Array)) throw new TypeError(`keys.${name} must be a Uint8Array`);
  if (key.length > 0 && key.length <= MAX_BOOT_KEY_BYTES) return key;
  throw new RangeError(`keys.${name} must have 1 to ${MAX_BOOT_KEY_BYTES} bytes`);
}

/**
 * Reads a boot id.
 *
 * @param bootId 32 lowercase hex digits
 * @returns 16 bytes
 * @throws {TypeError} When it is anything else
 */
export function bootIdBytes(bootId: unknown): Uint8Array<ArrayBuffer> {
  if (typeof bootId !== "string" || !BOOT_ID.test(bootId)) {
    throw new TypeError("bootId must be 32 lowercase hex digits");
  }
  return Uint8Array.from(bootId.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
}

/** Name of the boot id's own entry. */
const BOOT_ENTRY = "boot";
const BOOT_ID = /^[0-9a-f]{32}$/;
const KEY_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
