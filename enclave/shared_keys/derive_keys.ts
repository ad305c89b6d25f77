import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { encodeHex } from "../../lib/core/encoding.ts";
import { hkdf } from "../../lib/core/hmac.ts";
import { allocateOffHeap, type SecretBytes } from "../../lib/core/secret_bytes.ts";

/** Bytes before the private key of X25519 in PKCS #8 DER (RFC 5958, RFC 8410). */
const PKCS8_HEAD = Buffer.from("302e020100300506032b656e04220420", "hex");

const KEY_BYTES = 32;
const CHECK_VALUE_BYTES = 16;

/** Key pair in the runtime's own memory. */
export interface DerivedPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/**
 * Derives the key pair of sealed HTTP, X25519.
 *
 * @param secret Shared secret
 */
export function deriveSealingPair(secret: SecretBytes): DerivedPair {
  using seed = derive(secret, "seal", KEY_BYTES);
  const der = allocateOffHeap(PKCS8_HEAD.length + KEY_BYTES);
  try {
    der.set(PKCS8_HEAD);
    der.set(seed.bytes, PKCS8_HEAD.length);
    const privateKey = createPrivateKey({ key: viewOf(der), format: "der", type: "pkcs8" });
    return { privateKey, publicKey: createPublicKey(privateKey) };
  } finally {
    der.fill(0);
  }
}

/**
 * Computes a value by which a key is known, and from which nothing about it follows.
 *
 * @param secret Shared secret
 * @returns 32 hex digits
 */
export function checkValueOf(secret: SecretBytes): string {
  using value = derive(secret, "check value", CHECK_VALUE_BYTES);
  return encodeHex(value.bytes);
}

/**
 * Computes the public key of a private one.
 *
 * @param privateKey PKCS #8, DER
 * @returns SubjectPublicKeyInfo, DER
 * @throws The runtime's error when it is none
 */
export function publicKeyOf({ bytes }: SecretBytes): Uint8Array<ArrayBuffer> {
  const key = createPrivateKey({ key: viewOf(bytes), format: "der", type: "pkcs8" });
  return new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }));
}

function derive(secret: SecretBytes, use: string, length: number): SecretBytes {
  const info = new TextEncoder().encode(`enclave-kms shared key 1: ${use}`);
  const [key] = hkdf("sha256", secret.bytes, new Uint8Array(0), [info], length);
  return key!;
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
