import { allocateOffHeap } from "../core/secret_bytes.ts";
import { EnvelopeError } from "./envelope_error.ts";
import type { Inlet } from "./inlet.ts";

const EMPTY = new Uint8Array(0);

/** Reads a stream by numbers of bytes, whatever chunks it comes in. It holds one chunk of it at a time. */
export class ByteReader {
  readonly #inlet: Pick<Inlet, "read">;
  readonly #signal: AbortSignal;
  #chunk: Uint8Array = EMPTY;

  /**
   * @param inlet Where the chunks come from
   * @param signal Once it aborts, every read throws its reason
   */
  constructor(inlet: Pick<Inlet, "read">, signal: AbortSignal) {
    this.#inlet = inlet;
    this.#signal = signal;
  }

  /**
   * @param target What to fill
   * @returns How many bytes it got: fewer than it holds only at the stream's end
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
   * @param length In bytes
   * @returns Exactly as many
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

  /** Whether the stream has ended; waits until it has, or until there is a byte. */
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
