import { decodeBase64 } from "../../lib/core/encoding.ts";
import type { Sample } from "../setting.ts";

/**
 * @param plaintext What came out
 * @param sample What should
 */
export function isRight(plaintext: Uint8Array, sample: Sample): boolean {
  const expected = decodeBase64(sample.plaintext);
  return plaintext.length === expected.length && plaintext.every((byte, index) => byte === expected[index]);
}
