import { Finding } from "../target.ts";

const INDEFINITE = 0x80;
const CONSTRUCTED = 0x20;

/**
 * Walks through BER by its tags and lengths, whatever it means, and is strict where pkijs, asn1js and OpenSSL
 * are not.
 *
 * @param bytes One or more elements
 * @throws {Finding} When a length is not in its shortest form, does not fit, or is not ended
 */
export function expectShortestLengths(bytes: Uint8Array): void {
  const ends: number[] = [];
  for (let at = 0; at < bytes.length || ends.length > 0;) {
    const end = ends.at(-1) ?? bytes.length;
    if (at === end) {
      ends.pop();
      continue;
    }
    if (end === Infinity && bytes[at] === 0 && bytes[at + 1] === 0) {
      ends.pop();
      at += 2;
      continue;
    }
    const [tag = 0, first = 0] = bytes.subarray(at, at + 2);
    const digits = first > INDEFINITE
      ? bytes.subarray(at + 2, at + 2 + (first & 0x7f))
      : bytes.subarray(at + 1, at + 2);
    const length = digits.reduce((value, digit) => value * 256 + digit, 0);
    if (first > INDEFINITE && (digits[0] === 0 || length < 0x80)) {
      throw new Finding("a length is not in its shortest form");
    }
    at += first > INDEFINITE ? 2 + digits.length : 2;
    if (first === INDEFINITE) ends.push(Infinity);
    else if (at + length > Math.min(end, bytes.length)) {
      throw new Finding("an element is longer than what is around it");
    } else if ((tag & CONSTRUCTED) !== 0) ends.push(at + length);
    else at += length;
    if (at > bytes.length || (at === bytes.length && ends.includes(Infinity))) {
      throw new Finding("an element is not ended");
    }
  }
}
