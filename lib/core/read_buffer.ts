/** Size of the buffer of a quiet connection, in bytes. */
export const MIN_READ_BYTES: number = 1024;

/** Size of the buffer of a busy connection, in bytes. */
const MAX_BYTES = 65_536;

/** Factor between two sizes: 1, 8 and 64 KiB. */
const STEP = 8;

/**
 * Buffer for the reads of one connection: small while it is quiet, since a read that waits holds it, and large while
 * it is busy. A read that fills it makes the next one larger; one that fills an eighth or less, smaller.
 *
 * Not guaranteed: a small buffer for a peer that sends exactly 64 KiB and then nothing.
 */
export class ReadBuffer {
  readonly #allocate: (size: number) => Uint8Array;
  #size = MIN_READ_BYTES;
  #buffer: Uint8Array | undefined;

  /** @param allocate Makes memory of so many bytes. Default: filled with zeros */
  constructor(allocate: (size: number) => Uint8Array = (size) => new Uint8Array(size)) {
    this.#allocate = allocate;
  }

  /** Memory for the next read: 1024, 8192 or 65536 bytes. */
  get target(): Uint8Array {
    return this.#buffer ??= this.#allocate(this.#size);
  }

  /**
   * Takes what a read put into {@link target}.
   *
   * @param count Number of bytes, at least 1
   * @returns The bytes, in memory that no later read touches
   */
  take(count: number): Uint8Array {
    const buffer = this.target;
    // Half-full memory is given away instead of copied.
    const isGiven = count * 2 > buffer.length;
    const bytes = isGiven ? buffer.subarray(0, count) : buffer.slice(0, count);
    // Whoever reads a secret wipes what they got, and knows of no other copy.
    if (!isGiven) buffer.fill(0, 0, count);
    this.release(count, !isGiven);
    return bytes;
  }

  /**
   * Goes on after a read whose bytes are not taken: they were sent out of {@link target} itself.
   *
   * @param count Number of bytes of the read, at least 1
   * @param isFree Whether nobody holds the memory any more, so that the next read may use it
   */
  release(count: number, isFree: boolean): void {
    const before = this.#size;
    if (count === before) this.#size = Math.min(MAX_BYTES, before * STEP);
    else while (this.#size > MIN_READ_BYTES && count * STEP <= this.#size) this.#size /= STEP;
    if (!isFree || this.#size !== before) this.#buffer = undefined;
  }
}
