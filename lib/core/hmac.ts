import { hash as hashOnce } from "node:crypto";
import { allocateOffHeap, SecretBytes } from "./secret_bytes.ts";

/** Block size of each hash, in bytes. */
const BLOCK_BYTES = { sha256: 64, sha512: 128 } as const;

const INNER = 0x36;
const OUTER = 0x5c;

/** Hash that HMAC can use here. */
export type HmacHash = keyof typeof BLOCK_BYTES;

/**
 * Computes HMAC from one-shot hashes of node:crypto: they leave nothing behind, while a `Hash` object keeps its last
 * input, and its result, until it is collected. `createHmac` leaves a copy of its key on
 * Deno; on Node it throws and catches two errors inside for each key of bytes, which takes longer than hashing.
 *
 * @param hash The hash
 * @param key Key of any length
 * @param data Data of any length
 * @returns 32 or 64 bytes; the caller wipes them if they are secret
 * @see RFC 2104
 */
export function hmac(hash: HmacHash, key: Uint8Array, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = BLOCK_BYTES[hash];
  const short = key.length > length ? digest(hash, key) : key;
  const inner = digestMasked(hash, short, INNER, data);
  try {
    return digestMasked(hash, short, OUTER, inner);
  } finally {
    inner.fill(0);
    if (short !== key) short.fill(0);
  }
}

/**
 * Derives a key by HKDF, extract and expand, for keys no longer than the hash's output.
 *
 * @param hash The hash
 * @param secret Secret to derive from, of any length
 * @param salt Salt of any length
 * @param info Label that tells this key from others of the same secret
 * @param length Length of the key: 1 to 32 or 64 bytes
 * @returns The key
 * @see RFC 5869
 */
export function hkdf(
  hash: HmacHash,
  secret: Uint8Array,
  salt: Uint8Array,
  info: Uint8Array,
  length: number,
): SecretBytes {
  const extracted = hmac(hash, salt, secret);
  const expanded = hmac(hash, extracted, Uint8Array.of(...info, 1));
  try {
    return SecretBytes.copyOf(expanded.subarray(0, length));
  } finally {
    extracted.fill(0);
    expanded.fill(0);
  }
}

/** Hashes one block holding the key XORed with `mask`, followed by `rest`. */
function digestMasked(hash: HmacHash, key: Uint8Array, mask: number, rest: Uint8Array) {
  const length = BLOCK_BYTES[hash];
  const bytes = allocateOffHeap(length + rest.length);
  for (let index = 0; index < length; index++) bytes[index] = (key[index] ?? 0) ^ mask;
  bytes.set(rest, length);
  try {
    return digest(hash, bytes);
  } finally {
    bytes.fill(0);
  }
}

/** Hashes data, with the result in memory of its own. */
function digest(hash: HmacHash, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = hashOnce(hash, data, "buffer");
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}
