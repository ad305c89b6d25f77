/** RSAES-OAEP with SHA-256 by hand, for what no library would encrypt: for tests only. */
import { createHash, createPublicKey, randomBytes } from "node:crypto";
import { Buffer } from "node:buffer";

const HASH_BYTES = 32;
const KEY_BYTES = 256;

/** Faults of a padding. */
export interface OaepFaults {
  /** First byte, which is to be 0. */
  readonly first?: number;
  /** Byte between padding and content, which is to be 1. */
  readonly separator?: number;
  /** Label, which is to be empty. */
  readonly label?: string;
  /** Hash of label and mask: `sha256`. */
  readonly hash?: string;
}

/**
 * Pads a content for RSA-2048.
 *
 * @param content 0 to 190 bytes
 * @param faults Deviations from RFC 8017
 */
export function padOaep(content: Uint8Array, faults: OaepFaults = {}): Uint8Array<ArrayBuffer> {
  const { first = 0, separator = 1, label = "", hash = "sha256" } = faults;
  const padded = new Uint8Array(KEY_BYTES);
  const block = padded.subarray(1 + HASH_BYTES);
  block.set(createHash(hash).update(label).digest());
  block[block.length - content.length - 1] = separator;
  block.set(content, block.length - content.length);
  const seed = padded.subarray(1, 1 + HASH_BYTES);
  seed.set(randomBytes(HASH_BYTES));
  mask(block, seed, hash);
  mask(seed, block, hash);
  padded[0] = first;
  return padded;
}

/**
 * Encrypts a number under a public key, without any padding.
 *
 * @param publicKey RSA-2048 as SPKI DER
 * @param number At most 256 bytes, big-endian
 */
export function encryptNumber(publicKey: Uint8Array, number: Uint8Array | bigint): Uint8Array<ArrayBuffer> {
  const modulus = modulusOf(publicKey);
  let power = typeof number === "bigint" ? number : toNumber(number);
  const base = power;
  // 65537 is 2^16 + 1.
  for (let bit = 0; bit < 16; bit++) power = power * power % modulus;
  return toBytes(power * base % modulus);
}

/** Reads the modulus of an RSA key. */
export function modulusOf(publicKey: Uint8Array): bigint {
  const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
  return toNumber(Buffer.from(key.export({ format: "jwk" }).n ?? "", "base64url"));
}

/** Writes a number as 256 bytes, big-endian. */
export function toBytes(number: bigint): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(number.toString(16).padStart(2 * KEY_BYTES, "0"), "hex"));
}

/** Reads a big-endian number. */
export function toNumber(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}

/** MGF1 of the seed, XORed onto the bytes. */
function mask(bytes: Uint8Array, seed: Uint8Array, hash: string): void {
  for (let offset = 0, counter = 0; offset < bytes.length; counter++) {
    const count = Uint8Array.of(0, 0, 0, counter);
    for (const byte of createHash(hash).update(seed).update(count).digest()) {
      if (offset < bytes.length) bytes[offset]! ^= byte;
      offset++;
    }
  }
}
