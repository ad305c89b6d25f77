/** Controller with the signal, which both runtimes have, but not all of their types. */
type Abortable = WritableStreamDefaultController & { readonly signal: AbortSignal };

/**
 * Writable stream whose chunks wait, one at a time, until they are asked for. A write ends when the chunk after it is
 * asked for: until then its memory is in use. Unlike a TransformStream it hears of an abort while a write waits.
 */
export class Inlet {
  /** Stream that takes the chunks. */
  readonly writable: WritableStream<Uint8Array>;
  /** Unset after the writer aborts: there is no one left to notify. */
  #controller: WritableStreamDefaultController | undefined;
  #chunk: Uint8Array | undefined;
  /** Ends the write of the chunk that waits. */
  #taken: () => void = () => {};
  /** Ends the write of the chunk that was read last. */
  #used: () => void = () => {};
  #arrived: () => void = () => {};
  #ended = false;

  /**
   * Makes the stream.
   *
   * @param onFailure Called when the writer aborts, or writes something other than a Uint8Array
   */
  constructor(onFailure: (reason: unknown) => void) {
    this.writable = new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        const { signal } = controller as Abortable;
        signal.addEventListener("abort", () => {
          this.#controller = undefined;
          onFailure(signal.reason);
        });
      },
      write: (chunk) => {
        if (chunk instanceof Uint8Array) return this.#offer(chunk);
        onFailure(new TypeError("The stream must consist of Uint8Array chunks"));
      },
      close: () => {
        this.#ended = true;
        this.#arrived();
      },
    });
  }

  /** Reads the next chunk, and gives the one before back to its writer; undefined after the last. One call at a time. */
  async read(): Promise<Uint8Array | undefined> {
    this.#used();
    if (this.#chunk === undefined && !this.#ended) {
      await new Promise<void>((resolve) => this.#arrived = resolve);
    }
    const chunk = this.#chunk;
    this.#chunk = undefined;
    this.#used = this.#taken;
    return chunk;
  }

  /**
   * Ends the stream, and fails the writer. After an end it is harmless.
   *
   * @param reason Reason that the writer gets
   */
  end(reason: unknown): void {
    this.#controller?.error(reason);
    this.#ended = true;
    this.#chunk = undefined;
    this.#taken();
    this.#used();
    this.#arrived();
  }

  #offer(chunk: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#chunk = chunk;
      this.#taken = resolve;
      this.#arrived();
    });
  }
}
