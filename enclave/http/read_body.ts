import { concatBytes } from "../../lib/core/bytes.ts";
import type { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";

/** Largest body of a request, in bytes. */
export const MAX_BODY_BYTES = 65_536;

/** How much of a body that is too large is read before the connection is cut. */
const MAX_DISCARDED_BYTES = 1 << 20;

/**
 * Reads a body. Of one that is too large some more is read, and thrown away: closing on unread bytes would take the
 * answer along.
 *
 * @param request Whose
 * @returns The body, or undefined when it is too large
 * @throws When the connection ends before it does
 */
export async function readBody(request: IncomingMessage): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length <= MAX_BODY_BYTES) chunks.push(chunk);
    if (length > MAX_DISCARDED_BYTES) break;
  }
  if (length > MAX_BODY_BYTES) return undefined;
  const body = concatBytes(chunks);
  // Credentials come this way.
  for (const chunk of chunks) chunk.fill(0);
  return body;
}
