/**
 * Reads a header content-length, as RFC 9110 has it: decimal digits and nothing else.
 *
 * @param text Value of the header
 * @returns Bytes, a safe integer; undefined for any other text
 */
export function readLength(text: string): number | undefined {
  if (!/^\d+$/.test(text)) return undefined;
  const length = Number(text);
  return Number.isSafeInteger(length) ? length : undefined;
}
