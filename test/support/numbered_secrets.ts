/**
 * Makes 96 printable bytes that only their number tells, the same in every process, in memory that is not moved.
 *
 * @param number Number of the secret
 */
export function secretOf(number: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(96));
  let state = Math.imul(number + 1, 0x9e3779b1) >>> 0;
  for (let index = 0; index < bytes.length; index++) {
    // xorshift32, and a letter of its upper bits.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[index] = 0x41 + ((state >>> 8) % 26);
  }
  return bytes;
}
