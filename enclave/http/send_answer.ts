import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

/** Where an answer goes. */
export interface Recipient {
  /** Makes the answer's head. */
  readonly response: ServerResponse;
  /** Carries it. */
  readonly stream: Duplex;
}

/**
 * Sends an answer, and wipes it: a plaintext may be in it.
 *
 * @param answer Read to its end
 * @param to Where it goes; nothing is sent when that has ended
 * @param last Whether the connection ends with it
 */
export async function sendAnswer(answer: Response, to: Recipient, last: boolean): Promise<void> {
  const chunks: Uint8Array[] = [];
  // On Deno an iterator takes several times as long as its reader.
  const reader = answer.body?.getReader();
  for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) {
    chunks.push(next.value);
  }
  try {
    if (!to.stream.destroyed) await write(answer, chunks, to, last);
  } finally {
    // A plaintext may be among them, and nobody else holds these bytes.
    for (const chunk of chunks) chunk.fill(0);
  }
}

async function write(
  answer: Response,
  chunks: readonly Uint8Array[],
  { response, stream }: Recipient,
  last: boolean,
): Promise<void> {
  const headers = Object.fromEntries(answer.headers);
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  if (answer.status !== 204) headers["content-length"] = String(length);
  if (last) headers["connection"] = "close";
  response.writeHead(answer.status, headers);
  for (const chunk of chunks) response.write(chunk);
  const { promise, resolve } = Promise.withResolvers<void>();
  response.once("close", resolve);
  stream.once("close", resolve);
  response.end();
  await promise;
  stream.off("close", resolve);
}
