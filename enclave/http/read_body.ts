import { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { concatBytes } from "../../lib/core/bytes.ts";

/** Largest body of a request, in bytes, where the application names no other. */
export const MAX_BODY_BYTES = 65_536;

/** Bytes of a body over the limit that are read and thrown away before the connection is cut. */
const MAX_DISCARDED_BYTES = 1 << 20;

/**
 * Reads a body. Reads on past the limit for a while, and throws that away: closing a connection on unread bytes
 * would take the answer along.
 *
 * @param request The request
 * @param maxBytes Largest body, in bytes
 * @returns The body, for the caller to wipe; undefined when it is larger
 * @throws When the connection ends before the body does
 */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length <= maxBytes) chunks.push(chunk);
    if (length > maxBytes + MAX_DISCARDED_BYTES) break;
  }
  if (length > maxBytes) {
    wipe(chunks);
    return undefined;
  }
  const body = Buffer.from(concatBytes(chunks).buffer);
  wipe(chunks);
  return body;
}

/** Credentials come in bodies. */
function wipe(chunks: readonly Uint8Array[]): void {
  for (const chunk of chunks) chunk.fill(0);
}
