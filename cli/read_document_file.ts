import { decodeBase64 } from "../lib/core/encoding.ts";
import { UsageError } from "./usage_error.ts";
import { readFile } from "./values.ts";

/**
 * Reads an attestation document from the file of a flag.
 *
 * @param flag Name of the flag
 * @param path Path of the file
 * @returns The document; nothing is verified
 * @throws {UsageError} When the file cannot be read, or holds something else
 */
export function readDocumentFile(flag: string, path: string): Uint8Array {
  return documentBytes(`--${flag}`, readFile(flag, path));
}

/**
 * Decodes a document as `attest` writes it: bytes or base64.
 *
 * @param name Name of the file, for messages
 * @param content Its content
 * @returns The document
 * @throws {UsageError} When it is text, and no base64
 */
export function documentBytes(name: string, content: Uint8Array): Uint8Array {
  const isText = content.length > 0 && content.every((byte) => byte < 0x7f);
  if (!isText) return content;
  try {
    return decodeBase64(new TextDecoder().decode(content).replaceAll(/\s/g, ""));
  } catch {
    throw new UsageError(`${name} must hold an attestation document, or its base64`);
  }
}
