/**
 * Bytes compared and shown without any runtime's own codecs: what verifies documents runs in browsers too.
 *
 * @module
 */

/**
 * @param a Any bytes that are no secret: the time taken tells where they differ
 * @param b Others
 * @returns Whether they are the same
 */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/**
 * @param bytes Any number of bytes
 * @returns Lowercase hex
 */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
