/**
 * Ed25519 and Ed25519ph (RFC 8032). node:crypto has the first only.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash, sign, verify } from "node:crypto";
import { invert, mod, readNumber, writeNumber } from "./modular.ts";
import type { KeyPair } from "../key_pairs.ts";
import type { SignatureScheme } from "./scheme.ts";

/** Ed25519 of a message. */
export const ED25519: SignatureScheme = {
  forms: ["RAW"],
  digestLength: 64,
  sign: ({ privateKey }, message) => sign(null, message, privateKey),
  verify: ({ publicKey }, message, _form, signature) => verify(null, message, publicKey, signature),
};

/** Ed25519ph. KMS takes a SHA-512 digest as the message, and hashes it once more as the scheme says. */
export const ED25519_PH: SignatureScheme = {
  forms: ["DIGEST"],
  digestLength: 64,
  sign(pair, message) {
    const { scalar, prefix, publicKey } = readKey(pair);
    const hashed = sha512(message);
    const nonce = mod(readLittle(sha512(DOMAIN, prefix, hashed)), ORDER);
    const r = encodeMultiple(nonce);
    const challenge = readLittle(sha512(DOMAIN, r, publicKey, hashed));
    return Buffer.concat([r, writeLittle(mod(nonce + challenge * scalar, ORDER))]);
  },
  // With the secret at hand: the nonce follows from the signature, and its multiple must be the signature's point.
  verify(pair, message, _form, signature) {
    const { scalar, publicKey } = readKey(pair);
    const [r, s] = [signature.subarray(0, 32), readLittle(signature.subarray(32))];
    if (signature.length !== 64 || s >= ORDER) return false;
    const challenge = readLittle(sha512(DOMAIN, r, publicKey, sha512(message)));
    return Buffer.compare(encodeMultiple(mod(s - challenge * scalar, ORDER)), r) === 0;
  },
};

const DOMAIN = Buffer.from("SigEd25519 no Ed25519 collisions\x01\x00");
const PRIME = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const D = mod(-121665n * invert(121666n, PRIME), PRIME);
const BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202n;
const BASE_Y = mod(4n * invert(5n, PRIME), PRIME);

/** Point in extended coordinates: x / z, y / z, and t = xy / z. */
type Point = readonly [x: bigint, y: bigint, z: bigint, t: bigint];

const BASE: Point = [BASE_X, BASE_Y, 1n, mod(BASE_X * BASE_Y, PRIME)];

const NEUTRAL: Point = [0n, 1n, 1n, 0n];

/** Adds two points, equal ones too (RFC 8032, section 5.1.4). */
function add([x1, y1, z1, t1]: Point, [x2, y2, z2, t2]: Point): Point {
  const a = (y1 - x1) * (y2 - x2);
  const b = (y1 + x1) * (y2 + x2);
  const c = 2n * D * t1 * t2;
  const d = 2n * z1 * z2;
  const [e, f, g, h] = [b - a, d - c, d + c, b + a].map((value) => mod(value, PRIME)) as [...Point];
  return [mod(e * f, PRIME), mod(g * h, PRIME), mod(f * g, PRIME), mod(e * h, PRIME)];
}

function encodeMultiple(factor: bigint): Uint8Array {
  let point = NEUTRAL;
  for (const bit of factor.toString(2)) {
    point = add(point, point);
    if (bit === "1") point = add(point, BASE);
  }
  const inverse = invert(point[2], PRIME);
  const [x, y] = [mod(point[0] * inverse, PRIME), mod(point[1] * inverse, PRIME)];
  return writeLittle(y | ((x & 1n) << 255n));
}

function readKey({ privateKey }: KeyPair): {
  readonly scalar: bigint;
  readonly prefix: Uint8Array;
  readonly publicKey: Uint8Array;
} {
  const { d = "", x = "" } = privateKey.export({ format: "jwk" });
  const expanded = sha512(Buffer.from(d, "base64url"));
  const scalar = readLittle(expanded.subarray(0, 32)) & (2n ** 254n - 8n) | 2n ** 254n;
  return { scalar, prefix: expanded.subarray(32), publicKey: Buffer.from(x, "base64url") };
}

function sha512(...parts: readonly Uint8Array[]): Uint8Array {
  const hashing = createHash("sha512");
  for (const part of parts) hashing.update(part);
  return hashing.digest();
}

function readLittle(bytes: Uint8Array): bigint {
  return readNumber(bytes.toReversed());
}

function writeLittle(value: bigint): Uint8Array {
  return writeNumber(value, 32).reverse();
}
