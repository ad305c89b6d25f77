/** Both runtimes have the signal; not all of their types do. */
type Abortable = WritableStreamDefaultController & { readonly signal: AbortSignal };

/**
 * A writable stream and where its chunks wait, one at a time, until they are asked for. A write ends when its
 * chunk has been taken. Unlike a TransformStream it hears of an abort while a write waits.
 */
export class Inlet {
  /** Where the chunks come from. */
  readonly writable: WritableStream<Uint8Array>;
  /** Gone once the writer aborted, who then needs not be told. */
  #controller: WritableStreamDefaultController | undefined;
  #chunk: Uint8Array | undefined;
  #taken: () => void = () => {};
  #arrived: () => void = () => {};
  #ended = false;

  /** @param onFailure Hears that the writer aborted, or wrote what is no Uint8Array */
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
        onFailure(new TypeError("The stream must be one of Uint8Array chunks"));
      },
      close: () => {
        this.#ended = true;
        this.#arrived();
      },
    });
  }

  /** The next chunk; undefined when there is none any more. One call at a time. */
  async read(): Promise<Uint8Array | undefined> {
    if (this.#chunk === undefined && !this.#ended) {
      await new Promise<void>((resolve) => this.#arrived = resolve);
    }
    const chunk = this.#chunk;
    this.#chunk = undefined;
    this.#taken();
    return chunk;
  }

  /**
   * Takes nothing more, and fails the writer. After an end it is harmless.
   *
   * @param reason What the writer is told
   */
  end(reason: unknown): void {
    this.#controller?.error(reason);
    this.#ended = true;
    this.#chunk = undefined;
    this.#taken();
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
