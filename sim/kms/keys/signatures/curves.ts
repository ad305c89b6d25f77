/**
 * Elliptic curves in short Weierstrass form, as far as ECDSA needs them: multiples of the base point.
 *
 * @see https://nvlpubs.nist.gov/nistpubs/SpecialPublications/NIST.SP.800-186.pdf
 * @see https://www.secg.org/sec2-v2.pdf
 *
 * @module
 */
import { invert, mod } from "./modular.ts";

/** Curve y² = x³ + ax + b over a prime field. */
export interface Curve {
  /** Prime of the field. */
  readonly prime: bigint;
  /** Coefficient of x. */
  readonly a: bigint;
  /** Order of the base point, a prime. */
  readonly order: bigint;
  /** The base point. */
  readonly base: readonly [x: bigint, y: bigint];
  /** Length of a coordinate in bytes. */
  readonly length: number;
}

/** KMS's curves, by their names in JSON Web Keys. */
export const CURVES: Readonly<Record<"P-256" | "P-384" | "P-521" | "secp256k1", Curve>> = {
  "P-256": {
    prime: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    a: -3n,
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    base: [
      0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n,
      0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n,
    ],
    length: 32,
  },
  "P-384": {
    prime: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
    a: -3n,
    order: BigInt(
      "0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    ),
    base: [
      BigInt(
        "0xaa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
      ),
      BigInt(
        "0x3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
      ),
    ],
    length: 48,
  },
  "P-521": {
    prime: 2n ** 521n - 1n,
    a: -3n,
    order: BigInt(
      "0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa" +
        "51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
    ),
    base: [
      BigInt(
        "0x00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3d" +
          "baa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66",
      ),
      BigInt(
        "0x011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e66" +
          "2c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650",
      ),
    ],
    length: 66,
  },
  secp256k1: {
    prime: 2n ** 256n - 2n ** 32n - 977n,
    a: 0n,
    order: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
    base: [
      0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798n,
      0x483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8n,
    ],
    length: 32,
  },
};

/** Point in Jacobian coordinates: x / z², y / z³. */
type Point = readonly [x: bigint, y: bigint, z: bigint];

/**
 * Finds the x coordinate of a multiple of the base point.
 *
 * @param curve The curve
 * @param factor 1 up to the order
 */
export function xOfMultiple(curve: Curve, factor: bigint): bigint {
  const { base, prime } = curve;
  const [, ...bits] = factor.toString(2);
  let point: Point = [...base, 1n];
  for (const bit of bits) {
    point = double(curve, point);
    if (bit === "1") point = addBase(curve, point);
  }
  const [x, , z] = point;
  return mod(x * invert(z * z, prime), prime);
}

function double({ prime, a }: Curve, [x, y, z]: Point): Point {
  const ySquared = mod(y * y, prime);
  const s = mod(4n * x * ySquared, prime);
  const m = mod(3n * x * x + a * mod(z * z, prime) ** 2n, prime);
  const x3 = mod(m * m - 2n * s, prime);
  return [x3, mod(m * (s - x3) - 8n * ySquared * ySquared, prime), mod(2n * y * z, prime)];
}

/** Adds the base point to another one than itself and its opposite. */
function addBase({ prime, base: [baseX, baseY] }: Curve, [x, y, z]: Point): Point {
  const zSquared = mod(z * z, prime);
  const h = mod(baseX * zSquared - x, prime);
  const r = mod(baseY * zSquared * z - y, prime);
  const hSquared = mod(h * h, prime);
  const hCubed = mod(h * hSquared, prime);
  const v = mod(x * hSquared, prime);
  const x3 = mod(r * r - hCubed - 2n * v, prime);
  return [x3, mod(r * (v - x3) - y * hCubed, prime), mod(z * h, prime)];
}
