/**
 * Whole numbers modulo another, of any size. Their time depends on their values: good for a simulator, whose keys
 * protect nothing.
 *
 * @module
 */
import { Buffer } from "node:buffer";

/**
 * Reduces a number.
 *
 * @param value Any whole number
 * @param modulus Above 0
 * @returns 0 up to the modulus
 */
export function mod(value: bigint, modulus: bigint): bigint {
  const rest = value % modulus;
  return rest < 0n ? rest + modulus : rest;
}

/**
 * Inverts a number.
 *
 * @param value Number without a common divisor with the modulus
 * @param modulus Above 0
 * @returns The number that gives 1 with it
 */
export function invert(value: bigint, modulus: bigint): bigint {
  let [a, b] = [mod(value, modulus), modulus];
  let [x, y] = [1n, 0n];
  while (b !== 0n) {
    const quotient = a / b;
    [a, b] = [b, a - quotient * b];
    [x, y] = [y, x - quotient * y];
  }
  return mod(x, modulus);
}

/** Reads an unsigned number, the highest byte first; no bytes are 0. */
export function readNumber(bytes: Uint8Array): bigint {
  return BigInt(`0x0${Buffer.from(bytes).toString("hex")}`);
}

/** Writes a number in so many bytes, the highest first. */
export function writeNumber(value: bigint, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(length * 2, "0"), "hex"));
}
