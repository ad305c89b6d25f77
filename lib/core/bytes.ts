/**
 * Bytes compared, joined and shown without any runtime's own codecs: documents are verified in browsers, too.
 *
 * @module
 */

/**
 * Compares bytes that are no secret: the time taken tells where they differ.
 *
 * @param a Any bytes
 * @param b Others
 * @returns Whether they are the same
 */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/**
 * Joins bytes. The parts are copied and not wiped.
 *
 * @param parts Bytes in their order
 * @returns All of them, in a buffer of their own
 */
export function concatBytes(parts: readonly ArrayLike<number>[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/**
 * Writes bytes as hex.
 *
 * @param bytes Any number of bytes
 * @returns Lowercase hex
 */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Reads canonical base64 (RFC 4648, section 4): with its padding, and without white space. The bytes are no secret:
 * the runtime keeps a string of them.
 *
 * @param text Base64 of any length
 * @returns The bytes; undefined when the text is not canonical base64
 */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    const binary = atob(text);
    // atob passes over white space, padding that is missing, and bits that carry no data.
    if (btoa(binary) !== text) return undefined;
    return Uint8Array.from(binary, (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}
