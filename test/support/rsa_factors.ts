import { readMemory } from "./memory_scan.ts";

const FACTOR_BYTES = 128;
const FACTOR_WORDS = FACTOR_BYTES / 4;
const WORDS_PER_STEP = 2;

/** Least last word of a factor: each is at least the square root of 2^2047. */
const LEAST_LAST_WORD = 0xb504f333;

/**
 * Looks for a prime factor of an RSA-2048 modulus in the writable memory of a process, as somebody would who has the
 * memory and the public key: any number of 1024 bits, in the byte order of this machine, that divides the modulus.
 *
 * @param pid The process
 * @param modulus The modulus
 * @returns The factor that was found first
 */
export function findFactor(pid: number, modulus: bigint): bigint | undefined {
  for (const chunk of readMemory(pid, FACTOR_BYTES)) {
    const words = new Uint32Array(chunk.buffer, chunk.byteOffset, chunk.byteLength >> 2);
    for (let at = 0; at + FACTOR_WORDS <= words.length; at += WORDS_PER_STEP) {
      if ((words[at]! & 1) === 0 || words[at + FACTOR_WORDS - 1]! < LEAST_LAST_WORD) continue;
      const candidate = words.subarray(at, at + FACTOR_WORDS);
      if (candidate.includes(0)) continue;
      const number = toNumber(candidate);
      if (modulus % number === 0n) return number;
    }
  }
  return undefined;
}

/**
 * Makes the private numbers of a key from one of its factors.
 *
 * @param modulus The modulus
 * @param p One factor
 * @returns Numbers by name: both factors, the private exponents (there are two in use), and those of the CRT
 */
export function privateNumbers(modulus: bigint, p: bigint): Readonly<Record<string, bigint>> {
  const q = modulus / p;
  const totient = (p - 1n) * (q - 1n);
  const least = totient / gcd(p - 1n, q - 1n);
  const d = invert(65_537n, least);
  return {
    p,
    q,
    d,
    "d by the totient": invert(65_537n, totient),
    "d mod p": d % (p - 1n),
    "d mod q": d % (q - 1n),
    "q inverse": invert(q, p),
    "p inverse": invert(p, q),
  };
}

function toNumber(words: Uint32Array): bigint {
  let text = "0x";
  for (let index = words.length - 1; index >= 0; index--) text += words[index]!.toString(16).padStart(8, "0");
  return BigInt(text);
}

function gcd(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a;
}

function invert(number: bigint, modulus: bigint): bigint {
  let [previous, rest] = [modulus, number % modulus];
  let [before, factor] = [0n, 1n];
  while (rest !== 0n) {
    const quotient = previous / rest;
    [previous, rest] = [rest, previous % rest];
    [before, factor] = [factor, before - quotient * factor];
  }
  return (before % modulus + modulus) % modulus;
}
