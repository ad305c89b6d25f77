import { hash } from "node:crypto";

/**
 * Hashes a secret with SHA-256. WebCrypto on Deno copies its input and frees the copy as it is; a `Hash` object keeps its
 * last block. A hash in one step leaves nothing behind.
 *
 * @param bytes Any number of bytes; not kept
 * @returns 32 bytes
 */
export function sha256(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(hash("sha256", bytes, "buffer"));
}
