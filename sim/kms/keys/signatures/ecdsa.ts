/**
 * ECDSA as KMS has it: signatures in DER (RFC 3279, section 2.2.3), of a digest as long as the curve's order, or one bit
 * shorter on P-521.
 *
 * @see https://nvlpubs.nist.gov/nistpubs/FIPS/NIST.FIPS.186-5.pdf
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { hash, randomBytes } from "node:crypto";
import { integer, sequence } from "../../../tls/der.ts";
import type { KeyPair } from "../key_pairs.ts";
import { type Curve, CURVES, xOfMultiple } from "./curves.ts";
import { invert, mod, readNumber, writeNumber } from "./modular.ts";
import type { MessageForm, SignatureScheme } from "./scheme.ts";

/**
 * Makes the scheme of one curve.
 *
 * @param name Name of the curve in JSON Web Keys
 * @param bits Length of the SHA-2 digest, in bits
 */
export function ecdsa(name: keyof typeof CURVES, bits: 256 | 384 | 512): SignatureScheme {
  const curve = CURVES[name];
  const digestOf = (message: Uint8Array, form: MessageForm) =>
    readNumber(form === "DIGEST" ? message : hash(`sha${bits}`, message, "buffer"));
  return {
    forms: ["RAW", "DIGEST"],
    digestLength: bits / 8,
    sign: (pair, message, form) => sign(curve, secretOf(pair), digestOf(message, form)),
    verify: (pair, message, form, signature) =>
      verify(curve, secretOf(pair), digestOf(message, form), signature),
  };
}

function sign(curve: Curve, secret: bigint, digest: bigint): Uint8Array {
  const { order } = curve;
  for (;;) {
    const nonce = mod(readNumber(randomBytes(curve.length + 8)), order - 1n) + 1n;
    const r = mod(xOfMultiple(curve, nonce), order);
    const s = mod(invert(nonce, order) * (digest + r * secret), order);
    if (r !== 0n && s !== 0n) return encode(r, s);
  }
}

/**
 * Verifies with the secret at hand: the nonce follows from the signature, and its multiple of the base point must have
 * the signature's x. That is the usual equation, with the public key written as a multiple of the base point.
 */
function verify(curve: Curve, secret: bigint, digest: bigint, signature: Uint8Array): boolean {
  const { order } = curve;
  const [r, s] = decode(signature);
  if (r < 1n || r >= order || s < 1n || s >= order) return false;
  if (Buffer.compare(encode(r, s), signature) !== 0) return false;
  const nonce = mod(invert(s, order) * (digest + r * secret), order);
  return nonce !== 0n && mod(xOfMultiple(curve, nonce), order) === r;
}

function encode(r: bigint, s: bigint): Uint8Array {
  return sequence(integer(writeNumber(r, MOST_BYTES)), integer(writeNumber(s, MOST_BYTES)));
}

/** Reads two numbers loosely: what they encode to is compared with what was read. */
function decode(signature: Uint8Array): readonly [r: bigint, s: bigint] {
  const start = signature[1] === 0x81 ? 3 : 2;
  const [, lengthOfR = 0] = signature.subarray(start);
  const next = start + 2 + lengthOfR;
  return [readNumber(signature.subarray(start + 2, next)), readNumber(signature.subarray(next + 2))];
}

const MOST_BYTES = 66;

function secretOf({ privateKey }: KeyPair): bigint {
  const { d = "" } = privateKey.export({ format: "jwk" });
  return readNumber(Buffer.from(d, "base64url"));
}
