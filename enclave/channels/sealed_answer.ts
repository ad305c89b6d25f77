import { concatBytes } from "../../lib/core/bytes.ts";
import { encodeBinaryResponse, type FieldLine, isSealable } from "../../lib/wire/binary_http.ts";

/** Largest body of an answer that is sealed, in bytes: 4 MiB. Sealed answers are held as a whole. */
export const MAX_SEALED_ANSWER_BYTES = 4 << 20;

/**
 * Reads an answer of the application, and writes it as a binary HTTP message. The chunks of its body are wiped.
 *
 * @param answer The answer; its body is read to its end, or cancelled
 * @param gone Signal that aborts when there is no one left to answer
 * @returns The message, for the caller to wipe; undefined when the body is larger than
 *   {@link MAX_SEALED_ANSWER_BYTES}
 * @throws The errors of the body's own stream, and the signal's reason
 */
export async function encodeAnswer(
  answer: Response,
  gone: AbortSignal | undefined,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const chunks = await readChunks(answer, gone);
  if (chunks === undefined) return undefined;
  const content = chunks.length === 1 ? chunks[0]! : concatBytes(chunks);
  try {
    return encodeBinaryResponse({ status: answer.status, headers: linesOf(answer), content });
  } finally {
    wipe([content, ...chunks]);
  }
}

/**
 * Lists the headers of an answer that may be sealed.
 *
 * @param answer The answer
 */
export function linesOf({ headers }: Response): FieldLine[] {
  return [...headers].filter(([name]) => isSealable(name));
}

async function readChunks(answer: Response, gone?: AbortSignal): Promise<Uint8Array[] | undefined> {
  const reader = answer.body?.getReader();
  const chunks: Uint8Array[] = [];
  const cancel = () => void reader?.cancel(gone?.reason).catch(() => {});
  gone?.addEventListener("abort", cancel);
  if (gone?.aborted) cancel();
  try {
    let length = 0;
    for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) {
      chunks.push(next.value);
      length += next.value.length;
      if (length <= MAX_SEALED_ANSWER_BYTES) continue;
      cancel();
      wipe(chunks);
      return undefined;
    }
    gone?.throwIfAborted();
    return chunks;
  } catch (error) {
    wipe(chunks);
    throw error;
  } finally {
    gone?.removeEventListener("abort", cancel);
  }
}

/** Nobody else holds these bytes. */
function wipe(chunks: readonly Uint8Array[]): void {
  for (const chunk of chunks) chunk.fill(0);
}
