import { decodeBase64 } from "../../lib/core/encoding.ts";
import type { Sample } from "../setting.ts";

/**
 * Compares a plaintext with the expected one.
 *
 * @param plaintext Result of the decrypt
 * @param sample Sample with the expected plaintext
 */
export function isRight(plaintext: Uint8Array, sample: Sample): boolean {
  const expected = decodeBase64(sample.plaintext);
  return plaintext.length === expected.length && plaintext.every((byte, index) => byte === expected[index]);
}
