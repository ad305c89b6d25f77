import { hash as hashOnce } from "node:crypto";
import { disposeAll } from "./dispose_all.ts";
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

/** Function that computes HMAC as {@link hmac} does, into memory of the result's length. */
export type HmacInto = (
  hash: HmacHash,
  key: Uint8Array<ArrayBuffer>,
  data: Uint8Array<ArrayBuffer>,
  target: Uint8Array<ArrayBuffer>,
) => void;

/** Memory for what is computed on the way to a key. What is secret of it is wiped at once. */
const SCRATCH = {
  extracted: allocateOffHeap(64),
  expanded: allocateOffHeap(64),
  label: allocateOffHeap(256),
};

const HASH_BYTES = { sha256: 32, sha512: 64 } as const;

/**
 * Derives keys by HKDF, extract and expand, for keys no longer than the hash's output.
 *
 * @param hash The hash
 * @param secret Secret to derive from, of any length
 * @param salt Salt of any length
 * @param infos Label of each key, that tells it from others of the same secret
 * @param length Length of each key: 1 to 32 or 64 bytes
 * @param compute Function that computes HMAC. Default: {@link hmac}
 * @returns The keys, one for each label
 * @see RFC 5869
 */
export function hkdf(
  hash: HmacHash,
  secret: Uint8Array<ArrayBuffer>,
  salt: Uint8Array<ArrayBuffer>,
  infos: readonly Uint8Array[],
  length: number,
  compute: HmacInto = hmacInto,
): SecretBytes[] {
  const keys = infos.map(() => new SecretBytes(allocateOffHeap(length)));
  try {
    hkdfInto(hash, secret, salt, infos, keys.map(({ bytes }) => bytes), compute);
    return keys;
  } catch (error) {
    disposeAll(keys);
    throw error;
  }
}

/**
 * Derives keys as {@link hkdf} does, into the caller's memory.
 *
 * @param hash The hash
 * @param secret Secret to derive from, of any length
 * @param salt Salt of any length
 * @param infos Label of each key
 * @param targets Memory for each key, 1 to 32 or 64 bytes, which the caller wipes
 * @param compute Function that computes HMAC
 */
export function hkdfInto(
  hash: HmacHash,
  secret: Uint8Array<ArrayBuffer>,
  salt: Uint8Array<ArrayBuffer>,
  infos: readonly Uint8Array[],
  targets: readonly Uint8Array<ArrayBuffer>[],
  compute: HmacInto,
): void {
  const extracted = SCRATCH.extracted.subarray(0, HASH_BYTES[hash]);
  const expanded = SCRATCH.expanded.subarray(0, HASH_BYTES[hash]);
  try {
    compute(hash, salt, secret, extracted);
    for (const [index, info] of infos.entries()) {
      compute(hash, extracted, numbered(info), expanded);
      const target = targets[index]!;
      target.set(expanded.subarray(0, target.length));
    }
  } finally {
    extracted.fill(0);
    expanded.fill(0);
  }
}

/** Puts the number of the only block behind a label, in memory that is valid until the next call. */
function numbered(info: Uint8Array): Uint8Array<ArrayBuffer> {
  const label = info.length < SCRATCH.label.length ? SCRATCH.label : allocateOffHeap(info.length + 1);
  label.set(info);
  label[info.length] = 1;
  return label.subarray(0, info.length + 1);
}

function hmacInto(...[hash, key, data, target]: Parameters<HmacInto>): void {
  const result = hmac(hash, key, data);
  target.set(result);
  result.fill(0);
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
