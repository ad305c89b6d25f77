import { decodeBase64 } from "../../lib/core/encoding.ts";

/**
 * Decodes base64url without padding (RFC 7515, section 2), strictly: there is one text for any bytes.
 *
 * @param text Text of any length
 * @returns The bytes; `undefined` when the text is empty, or not canonical
 */
export function decodeBase64Url(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[\w-]+$/.test(text)) return undefined;
  try {
    return decodeBase64(
      text.replaceAll("-", "+").replaceAll("_", "/") + "=".repeat(-text.length & 3),
    );
  } catch {
    return undefined;
  }
}
