import { allocateOffHeap } from "./secret_bytes.ts";

const FIRST_BYTES = 4096;

/**
 * Memory that grows with what is put in, so that a sender of single bytes takes twice of what it sent, and not an object
 * for each. What is outgrown is wiped, as it may be secret.
 */
export class GrowingBytes implements Disposable {
  readonly #maxBytes: number;
  #memory: Uint8Array<ArrayBuffer>;
  #length = 0;

  /** @param maxBytes Most bytes */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#memory = allocateOffHeap(Math.min(maxBytes, FIRST_BYTES));
  }

  /**
   * Adds bytes.
   *
   * @param chunk Any number of bytes; copied
   * @returns Whether they fit; otherwise nothing is added
   */
  push(chunk: Uint8Array): boolean {
    const length = this.#length + chunk.length;
    if (length > this.#maxBytes) return false;
    if (length > this.#memory.length) {
      const grown = allocateOffHeap(Math.min(this.#maxBytes, Math.max(length, 2 * this.#memory.length)));
      grown.set(this.#memory);
      this.#memory.fill(0);
      this.#memory = grown;
    }
    this.#memory.set(chunk, this.#length);
    this.#length = length;
    return true;
  }

  /** Copies what was put in, into memory of its own. */
  copy(): Uint8Array<ArrayBuffer> {
    const bytes = allocateOffHeap(this.#length);
    bytes.set(this.#memory.subarray(0, this.#length));
    return bytes;
  }

  /** Wipes what was put in. */
  [Symbol.dispose](): void {
    this.#memory.fill(0, 0, this.#length);
    this.#length = 0;
  }
}
