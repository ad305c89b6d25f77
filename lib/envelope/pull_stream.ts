import { ByteReader } from "./byte_reader.ts";
import { Inlet } from "./inlet.ts";
import { Outlet } from "./outlet.ts";
import type { PieceMemory } from "./piece_memory.ts";
import { countPiece, takeTurn } from "./turns.ts";

/** Two ends of an encryption or decryption, for `pipeThrough()`. */
export interface EnvelopeStream {
  /** Input, in chunks of any size. */
  readonly writable: WritableStream<Uint8Array>;
  /**
   * Output, a stream of bytes: `getReader({ mode: "byob" })` has pieces made in the reader's own memory. Cancelling it
   * cancels the input and wipes the key.
   */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
}

/**
 * Function that turns the input into the output, piece by piece. It disposes its resources when it returns or throws.
 * Pieces with plaintext are in memory that `memory` gave, and whoever gave it wipes it.
 */
export type Transformation = (
  input: ByteReader,
  signal: AbortSignal,
  memory: PieceMemory,
) => AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined>;

/**
 * Makes a pair of streams in which nothing happens until the reader asks for a piece, and then exactly one is made:
 * however large the written chunks, no output waits in memory. A failure, a cancellation or an abort
 * at any end reaches the others and ends the transformation.
 *
 * @param transform Transformation in between
 * @param signal Signal of the caller, if there is one
 */
export function pullStream(transform: Transformation, signal?: AbortSignal): EnvelopeStream {
  const abort = new AbortController();
  const input = new Inlet((reason) => void end(reason));
  const onAbort = () => void end(signal?.reason);
  let output!: Outlet;

  const readable = new ReadableStream({
    type: "bytes",
    start: (controller) => void (output = new Outlet(controller)),
    async pull(): Promise<void> {
      try {
        if (output.begin()) return;
        await takeTurn();
        const { done, value } = await pieces.next();
        countPiece(value?.length ?? 0);
        if (!done) return output.give(value, readable.locked);
        signal?.removeEventListener("abort", onAbort);
        output.close();
      } catch (error) {
        void end(error);
      }
    },
    cancel: (reason) => end(reason),
  }, { highWaterMark: 0 }) as EnvelopeStream["readable"];
  const pieces = transform(new ByteReader(input, abort.signal), abort.signal, output);

  signal?.addEventListener("abort", onAbort);
  if (signal?.aborted) onAbort();
  return { writable: input.writable, readable };

  /** Ends all parts. The first reason counts: every part keeps the first that it gets. */
  async function end(reason: unknown): Promise<void> {
    signal?.removeEventListener("abort", onAbort);
    abort.abort(reason);
    output.end(reason);
    input.end(reason);
    await pieces.return().catch(() => {});
  }
}
