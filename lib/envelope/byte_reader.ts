import { allocateOffHeap } from "../core/secret_bytes.ts";
import { EnvelopeError } from "./envelope_error.ts";
import type { Inlet } from "./inlet.ts";

const EMPTY = allocateOffHeap(0);

/** Reader of a stream by numbers of bytes, whatever its chunks. It holds one chunk at a time. */
export class ByteReader {
  readonly #inlet: Pick<Inlet, "read">;
  readonly #signal: AbortSignal;
  /** Chunk that was read last, and its length then. */
  #chunk: Uint8Array = EMPTY;
  #length = 0;
  /** Rest of the chunk, or what was gathered from several. */
  #ready: Uint8Array<ArrayBuffer> = EMPTY;
  /** Rest of the chunk while {@link #ready} is what was gathered. */
  #next: Uint8Array<ArrayBuffer> = EMPTY;
  /** Copy of the chunk that was read last, if its memory is shared. */
  #copy: Uint8Array<ArrayBuffer> = EMPTY;
  /** Memory to gather in, which is used again and again. */
  #gathered: Uint8Array<ArrayBuffer> = EMPTY;

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

  /** Bytes that can be had at once and in one piece, without a copy. They are valid until the next call. */
  get ready(): Uint8Array<ArrayBuffer> {
    return this.#ready;
  }

  /**
   * Passes over ready bytes.
   *
   * @param length Number of bytes, at most as many as are ready
   */
  skip(length: number): void {
    this.#ready = this.#ready.subarray(length);
    if (this.#ready.length > 0) return;
    this.#ready = this.#next;
    this.#next = EMPTY;
  }

  /**
   * Waits until a number of bytes are ready. What several chunks bring is copied together, and is no secret: this
   * memory is not wiped.
   *
   * @param length The number
   * @param missing Part of the message that they belong to
   * @returns The ready bytes: as many, or more
   * @throws {EnvelopeError} `TRUNCATED`, when the stream ends before
   */
  async require(length: number, missing?: string): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#ready.length >= length) return this.#ready;
    const target = this.#memoryFor(length);
    const filled = await this.readInto(target);
    if (filled < length) throw truncated(missing);
    this.#next = this.#ready;
    return this.#ready = target;
  }

  /**
   * Fills memory.
   *
   * @param target Memory to fill
   * @returns Number of bytes that it got: fewer than its length only at the stream's end
   */
  async readInto(target: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < target.length && (this.#ready.length > 0 || !await this.isAtEnd())) {
      const part = this.#ready.subarray(0, target.length - filled);
      target.set(part, filled);
      this.skip(part.length);
      filled += part.length;
    }
    return filled;
  }

  /**
   * Takes a number of bytes.
   *
   * @param length The number
   * @returns Exactly that many bytes, in memory of their own
   * @throws {EnvelopeError} `TRUNCATED`, when the stream ends before
   */
  async take(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = allocateOffHeap(length);
    if (await this.readInto(bytes) === length) return bytes;
    throw truncated();
  }

  /** Tells whether the stream has ended; waits until it has, or until there is a byte. */
  async isAtEnd(): Promise<boolean> {
    while (this.#ready.length === 0) {
      this.#signal.throwIfAborted();
      expectWhole(this.#chunk, this.#length);
      const chunk = await this.#inlet.read();
      this.#signal.throwIfAborted();
      if (chunk === undefined) {
        this.#copy.fill(0);
        return true;
      }
      expectWhole(chunk, chunk.length);
      [this.#chunk, this.#length] = [chunk, chunk.length];
      this.#ready = this.#unshared(chunk);
    }
    return false;
  }

  /** Copies bytes that another thread may change while they are read, into memory that is wiped for the next ones. */
  #unshared(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
    if (chunk.buffer instanceof ArrayBuffer) return chunk as Uint8Array<ArrayBuffer>;
    this.#copy.fill(0);
    this.#copy = allocateOffHeap(chunk.length);
    this.#copy.set(chunk);
    return this.#copy;
  }

  /** Makes memory to gather in: fresh if what is ready stands in the old. */
  #memoryFor(length: number): Uint8Array<ArrayBuffer> {
    const isInUse = this.#ready.buffer === this.#gathered.buffer;
    if (isInUse || this.#gathered.length < length) this.#gathered = allocateOffHeap(length);
    return this.#gathered.subarray(0, length);
  }
}

/** Refuses a chunk that has lost bytes before they were read: without them a message would be genuine, and wrong. */
function expectWhole(chunk: Uint8Array, length: number): void {
  const { detached } = chunk.buffer as { readonly detached?: boolean };
  if (chunk.length === length && detached !== true) return;
  throw new TypeError(
    "A chunk must keep its memory until its write has ended: it was transferred or resized",
  );
}

/**
 * Makes the error of a message that ends too early.
 *
 * @param missing Part before which it ends
 */
export function truncated(missing = "its final frame"): EnvelopeError {
  return new EnvelopeError("TRUNCATED", `Cannot decrypt message: it ends before ${missing}`, {
    hint: "Was it stored or sent in part? Discard the plaintext so far: it is genuine but incomplete",
  });
}
