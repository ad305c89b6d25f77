/**
 * Signatures under RSA keys (RFC 8017): RSASSA-PSS with a salt as long as the digest, and RSASSA-PKCS1-v1_5.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { constants, hash, privateDecrypt, publicEncrypt, randomBytes } from "node:crypto";
import { NULL, octetString, oid, sequence } from "../../../tls/der.ts";
import type { KeyPair } from "../key_pairs.ts";
import type { MessageForm, SignatureScheme } from "./scheme.ts";

type Bits = 256 | 384 | 512;

/**
 * Makes the scheme RSASSA-PSS.
 *
 * @param bits Length of the SHA-2 digest, in bits
 */
export function rsaPss(bits: Bits): SignatureScheme {
  return {
    forms: ["RAW", "DIGEST"],
    digestLength: bits / 8,
    sign(pair, message, form) {
      const digest = digestOf(bits, message, form);
      return applyPrivate(pair, encodePss(bits, lengthOf(pair), digest, randomBytes(digest.length)));
    },
    verify(pair, message, form, signature) {
      const encoded = openSignature(pair, signature);
      return encoded !== undefined && isPss(bits, encoded, digestOf(bits, message, form));
    },
  };
}

/**
 * Makes the scheme RSASSA-PKCS1-v1_5.
 *
 * @param bits Length of the SHA-2 digest, in bits
 */
export function rsaPkcs1(bits: Bits): SignatureScheme {
  const encode = (pair: KeyPair, message: Uint8Array, form: MessageForm) => {
    const algorithm = sequence(oid(DIGEST_OIDS[bits]), NULL);
    const info = sequence(algorithm, octetString(digestOf(bits, message, form)));
    const padding = Buffer.alloc(lengthOf(pair) - info.length - 3, 0xff);
    return Buffer.concat([Uint8Array.of(0, 1), padding, Uint8Array.of(0), info]);
  };
  return {
    forms: ["RAW", "DIGEST"],
    digestLength: bits / 8,
    sign: (pair, message, form) => applyPrivate(pair, encode(pair, message, form)),
    verify(pair, message, form, signature) {
      const encoded = openSignature(pair, signature);
      return encoded !== undefined && encoded.equals(encode(pair, message, form));
    },
  };
}

const DIGEST_OIDS = {
  256: "2.16.840.1.101.3.4.2.1",
  384: "2.16.840.1.101.3.4.2.2",
  512: "2.16.840.1.101.3.4.2.3",
} as const;

const RAW_RSA = { padding: constants.RSA_NO_PADDING } as const;

function applyPrivate({ privateKey }: KeyPair, encoded: Uint8Array): Buffer {
  return privateDecrypt({ key: privateKey, ...RAW_RSA }, encoded);
}

/** Undoes the private operation; undefined when the signature is none of this key's length and range. */
function openSignature(pair: KeyPair, signature: Uint8Array): Buffer | undefined {
  if (signature.length !== lengthOf(pair)) return undefined;
  try {
    return publicEncrypt({ key: pair.publicKey, ...RAW_RSA }, signature);
  } catch {
    return undefined;
  }
}

/** Encodes a digest (RFC 8017, section 9.1.1). Moduli are whole bytes long, so the first bit is the one left over. */
function encodePss(bits: Bits, length: number, digest: Uint8Array, salt: Uint8Array): Buffer {
  const seed = hash(`sha${bits}`, Buffer.concat([Buffer.alloc(8), digest, salt]), "buffer");
  const masked = Buffer.alloc(length - seed.length - 1);
  masked[masked.length - salt.length - 1] = 1;
  masked.set(salt, masked.length - salt.length);
  applyMask(bits, masked, seed);
  masked[0] = (masked[0] ?? 0) & 0x7f;
  return Buffer.concat([masked, seed, Uint8Array.of(0xbc)]);
}

function isPss(bits: Bits, encoded: Buffer, digest: Uint8Array): boolean {
  const seedStart = encoded.length - digest.length - 1;
  const block = Buffer.from(encoded.subarray(0, seedStart));
  applyMask(bits, block, encoded.subarray(seedStart, -1));
  const salt = block.subarray(-digest.length);
  return encodePss(bits, encoded.length, digest, salt).equals(encoded);
}

/** XORs the mask of a seed onto a block (MGF1, RFC 8017, appendix B.2.1). */
function applyMask(bits: Bits, block: Buffer, seed: Uint8Array): void {
  const counter = Buffer.alloc(4);
  for (let offset = 0; offset < block.length; offset += bits / 8) {
    counter.writeUInt32BE(offset / (bits / 8));
    const mask = hash(`sha${bits}`, Buffer.concat([seed, counter]), "buffer");
    for (const [index, byte] of block.subarray(offset, offset + mask.length).entries()) {
      block[offset + index] = byte ^ (mask[index] ?? 0);
    }
  }
}

function digestOf(bits: Bits, message: Uint8Array, form: MessageForm): Uint8Array {
  return form === "DIGEST" ? message : hash(`sha${bits}`, message, "buffer");
}

function lengthOf({ publicKey }: KeyPair): number {
  return (publicKey.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
}
