import { TurnLimiter } from "../core/turn_limiter.ts";
import { ByteReader } from "./byte_reader.ts";
import { Inlet } from "./inlet.ts";

/** Two ends of an encryption or decryption, for `pipeThrough()`. */
export interface EnvelopeStream {
  /** Input, in chunks of any size. */
  readonly writable: WritableStream<Uint8Array>;
  /** Output. Cancelling it cancels the input and wipes the key. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
}

/**
 * Number of pieces that all streams make in one turn of the event loop. A piece takes this thread for the encryption of
 * a frame, and neither a reader nor a writer of data in memory leaves its turn; the writer of a message chooses the
 * number and length of its frames.
 */
const PIECES = new TurnLimiter(8);

/**
 * Function that turns the input into the output, piece by piece. It disposes its resources when it returns or throws.
 */
export type Transformation = (
  input: ByteReader,
  signal: AbortSignal,
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
  const pieces = transform(new ByteReader(input, abort.signal), abort.signal);
  const onAbort = () => void end(signal?.reason);
  let output: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;

  const readable = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      output = controller;
    },
    async pull() {
      try {
        await PIECES.take();
        const { done, value } = await pieces.next();
        if (!done) return output.enqueue(value);
        signal?.removeEventListener("abort", onAbort);
        output.close();
      } catch (error) {
        void end(error);
      }
    },
    cancel: (reason) => end(reason),
  }, { highWaterMark: 0 });

  signal?.addEventListener("abort", onAbort);
  if (signal?.aborted) onAbort();
  return { writable: input.writable, readable };

  /** Ends all parts. The first reason counts: every part keeps the first that it gets. */
  async function end(reason: unknown): Promise<void> {
    signal?.removeEventListener("abort", onAbort);
    abort.abort(reason);
    output.error(reason);
    input.end(reason);
    await pieces.return().catch(() => {});
  }
}
