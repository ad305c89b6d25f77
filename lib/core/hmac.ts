import { hash as hashOnce } from "node:crypto";
import { allocateOffHeap, SecretBytes } from "./secret_bytes.ts";

/** What each hash takes in at a time, in bytes. */
const BLOCK_BYTES = { sha256: 64, sha512: 128 } as const;

const INNER = 0x36;
const OUTER = 0x5c;

/** The hashes that HMAC is made of here. */
export type HmacHash = keyof typeof BLOCK_BYTES;

/**
 * HMAC, from hashes of node:crypto's that are made in one go: they leave nothing behind, while a `Hash` object
 * keeps what it was given last, and its result, until it is collected. `createHmac` leaves a copy of its key on
 * Deno; on Node it throws and catches two errors inside for each key of bytes, which takes longer than hashing.
 *
 * @param hash Which
 * @param key Of any length
 * @param data Of any length
 * @returns 32 or 64 bytes, which the caller wipes if they are a secret
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
 * HKDF, extract and expand, for keys no longer than the hash's output.
 *
 * @param hash Which
 * @param secret What the key is derived from, of any length
 * @param salt Of any length
 * @param info Tells this key from others of the same secret
 * @param length Of the key: 1 to 32 or 64 bytes
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

/** Of a block with the key under a mask, and what follows. */
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

/** In memory that is nobody else's. */
function digest(hash: HmacHash, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = hashOnce(hash, data, "buffer");
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}
