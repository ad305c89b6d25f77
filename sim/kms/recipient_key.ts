import { Buffer } from "node:buffer";
import { createPublicKey, type KeyObject } from "node:crypto";

/** OpenSSL takes longer to read a key than to encrypt to it, and a client's documents repeat theirs. */
const keys = new WeakMap<Uint8Array, KeyObject>();

/**
 * Reads a key, or finds it where these very bytes were read before.
 *
 * @param spki A public key, SPKI DER; not changed afterwards
 * @returns The key
 * @throws {Error} OpenSSL's, when it is none
 */
export function readPublicKey(spki: Uint8Array): KeyObject {
  const known = keys.get(spki);
  if (known !== undefined) return known;
  const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  keys.set(spki, key);
  return key;
}
