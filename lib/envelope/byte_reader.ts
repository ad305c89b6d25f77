import { allocateOffHeap } from "../core/secret_bytes.ts";
import { EnvelopeError } from "./envelope_error.ts";
import type { Inlet } from "./inlet.ts";

const EMPTY = new Uint8Array(0);

/** Reader of a stream by numbers of bytes, whatever its chunks. It holds one chunk at a time. */
export class ByteReader {
  readonly #inlet: Pick<Inlet, "read">;
  readonly #signal: AbortSignal;
  #chunk: Uint8Array = EMPTY;

  /**
   * Starts before the first chunk.
   *
   * @param inlet Source of the chunks
   * @param signal Signal after whose abort every read throws its reason
   */
  constructor(inlet: Pick<Inlet, "read">, signal: AbortSignal) {
    this.#inlet = inlet;
    this.#signal = signal;
  }

  /**
   * Fills memory.
   *
   * @param target Memory to fill
   * @returns Number of bytes that it got: fewer than its length only at the stream's end
   */
  async readInto(target: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < target.length && !await this.isAtEnd()) {
      const part = this.#chunk.subarray(0, target.length - filled);
      target.set(part, filled);
      this.#chunk = this.#chunk.subarray(part.length);
      filled += part.length;
    }
    return filled;
  }

  /**
   * Takes a number of bytes.
   *
   * @param length The number
   * @returns Exactly that many bytes
   * @throws {EnvelopeError} `TRUNCATED`, when the stream ends before
   */
  async take(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = allocateOffHeap(length);
    if (await this.readInto(bytes) === length) return bytes;
    throw new EnvelopeError("TRUNCATED", "Cannot decrypt message: it ends before its final frame", {
      hint:
        "Was it stored or sent in part? Discard the plaintext so far: it is genuine, but not all there is",
    });
  }

  /** Tells whether the stream has ended; waits until it has, or until there is a byte. */
  async isAtEnd(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      this.#signal.throwIfAborted();
      const chunk = await this.#inlet.read();
      this.#signal.throwIfAborted();
      if (chunk === undefined) return true;
      this.#chunk = chunk;
    }
    return false;
  }
}
