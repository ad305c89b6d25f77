import { writeSync } from "node:fs";

/** Descriptor of the standard output. */
export const STDOUT = 1;
export const STDERR = 2;

/** PIPE_BUF of Linux: a pipe takes such a chunk whole or not at all, so that a refused one can be written again. */
const CHUNK_BYTES = 4096;

/** Milliseconds to wait for a reader of a pipe that somebody made non-blocking. */
const FULL_PIPE_PAUSE_MS = 5;

/**
 * Writes all of some data to a descriptor, or throws the reason, on either runtime alike. A stream does not: a closed
 * pipe and a full disk are events on Node.js and exceptions on Deno, and neither reports a partial write to a file.
 *
 * @param descriptor A descriptor such as {@link STDOUT}
 * @param data Text as UTF-8, or bytes, which are not copied
 * @throws {Error} With the error's name as `code` (`EPIPE`, `ENOSPC`); part of the data may have been written
 */
export async function writeAll(descriptor: number, data: string | Uint8Array): Promise<void> {
  for (const chunk of chunksOf(data)) {
    while (!writeChunk(descriptor, chunk)) {
      await new Promise((resolve) => setTimeout(resolve, FULL_PIPE_PAUSE_MS));
    }
  }
}

/**
 * Writes text if it can be written at once, for messages that no result depends on.
 *
 * @param descriptor A descriptor such as {@link STDERR}
 * @param text Text, written as UTF-8
 * @returns Whether all of it was written
 */
export function tryWriteAll(descriptor: number, text: string): boolean {
  try {
    return chunksOf(text).every((chunk) => writeChunk(descriptor, chunk));
  } catch {
    return false;
  }
}

function chunksOf(data: string | Uint8Array): readonly Uint8Array[] {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const count = Math.ceil(bytes.length / CHUNK_BYTES);
  return Array.from(
    { length: count },
    (_, index) => bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES),
  );
}

/** Writes one chunk; returns false when the descriptor takes nothing at the moment. */
function writeChunk(descriptor: number, chunk: Uint8Array): boolean {
  try {
    // A disk that fills up takes a part first, and says why only when asked again.
    for (let at = 0; at < chunk.length;) at += writeSync(descriptor, chunk, at);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EAGAIN") return false;
    throw error;
  }
}
