import { allocateOffHeap } from "../core/secret_bytes.ts";
import { ByteReader } from "./byte_reader.ts";
import type { Allocate } from "./frames.ts";
import { Inlet } from "./inlet.ts";
import { countPiece, takeTurn } from "./turns.ts";

/** Two ends of an encryption or decryption, for `pipeThrough()`. */
export interface EnvelopeStream {
  /** Input, in chunks of any size. */
  readonly writable: WritableStream<Uint8Array>;
  /** Output. Cancelling it cancels the input and wipes the key. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
}

/**
 * Function that turns the input into the output, piece by piece. It disposes its resources when it returns or throws.
 * Pieces with plaintext are in memory that `allocate` gave, and whoever gave it wipes it.
 */
export type Transformation = (
  input: ByteReader,
  signal: AbortSignal,
  allocate: Allocate,
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
  const pieces = transform(new ByteReader(input, abort.signal), abort.signal, allocateOffHeap);
  const onAbort = () => void end(signal?.reason);
  let output: Outlet;

  const readable: ReadableStream<Uint8Array<ArrayBuffer>> = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (controller) => void (output = new Outlet(controller)),
    async pull(): Promise<void> {
      try {
        if (output.giveHeld()) return;
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
  }, { highWaterMark: 0 });

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

/** Output of a stream: it hands pieces to readers, and wipes those that nobody takes. */
class Outlet {
  readonly #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  /** Piece whose reader left before it was made, for the next reader: nobody could wipe it in the stream's queue. */
  #held: Uint8Array<ArrayBuffer> | undefined;
  #isEnded = false;

  constructor(controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>) {
    this.#controller = controller;
  }

  /** Hands a piece to the reader, whose it is from then on, or keeps it while there is none. */
  give(piece: Uint8Array<ArrayBuffer>, hasReader: boolean): void {
    if (this.#isEnded) return void piece.fill(0);
    if (hasReader) this.#controller.enqueue(piece);
    else this.#held = piece;
  }

  /** Hands over the piece that was kept; tells whether there was one. */
  giveHeld(): boolean {
    if (this.#held === undefined) return false;
    this.#controller.enqueue(this.#held);
    this.#held = undefined;
    return true;
  }

  close(): void {
    this.#isEnded = true;
    this.#controller.close();
  }

  end(reason: unknown): void {
    this.#isEnded = true;
    this.#held?.fill(0);
    this.#held = undefined;
    this.#controller.error(reason);
  }
}
