import { closeSync, openSync, renameSync, writeSync } from "node:fs";

/**
 * File that takes the last bytes of an endless output. When it is full it becomes `<path>.1`, and the file begins anew: so
 * the two together have at least the last `maxBytes`, and never more than twice as many.
 */
export class CappedFile implements Disposable {
  readonly #path: string;
  readonly #maxBytes: number;
  #descriptor: number | undefined;
  #length = 0;
  #lostBytes = 0;

  /**
   * Begins the file anew; one that is there becomes `<path>.1`. It is readable by its owner only.
   *
   * @param path Path of the file
   * @param maxBytes Bytes of one file, at least 1
   * @throws When the file cannot be made
   */
  constructor(path: string, maxBytes: number) {
    this.#path = path;
    this.#maxBytes = maxBytes;
    this.#begin();
  }

  /** Number of bytes that could not be written, on a full disk. */
  get lostBytes(): number {
    return this.#lostBytes;
  }

  /**
   * Writes bytes. A failure is counted in {@link lostBytes}, since output must not stop what writes it.
   *
   * @param bytes Bytes of any length
   */
  write(bytes: Uint8Array): void {
    try {
      for (let rest = bytes; rest.length > 0;) {
        if (this.#length >= this.#maxBytes) this.#begin();
        const part = rest.subarray(0, this.#maxBytes - this.#length);
        if (this.#descriptor === undefined) return;
        this.#length += writeSync(this.#descriptor, part);
        rest = rest.subarray(part.length);
      }
    } catch {
      this.#lostBytes += bytes.length;
    }
  }

  /** Closes the file. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  #begin(): void {
    this[Symbol.dispose]();
    try {
      renameSync(this.#path, `${this.#path}.1`);
    } catch {
      // There is none yet.
    }
    this.#descriptor = openSync(this.#path, "w", 0o600);
    this.#length = 0;
  }
}
