import type { Duplex } from "node:stream";

/** Way of answers to the peer of one connection. */
export class AnswerWriter {
  readonly #stream: Duplex;
  #settle: (() => void) | undefined;
  #onGone: (() => void) | undefined;

  /** @param stream The connection */
  constructor(stream: Duplex) {
    this.#stream = stream;
  }

  /** Whether there is no one left to answer. */
  get isGone(): boolean {
    return this.#stream.destroyed;
  }

  /** Sets what is called when the peer goes away before the answer has ended. */
  set onGone(leave: (() => void) | undefined) {
    this.#onGone = leave;
  }

  /**
   * Writes text.
   *
   * @param text Each character a byte
   * @returns Resolves when the kernel has it, or the connection has closed
   */
  writeText(text: string): Promise<void> {
    return new Promise((resolve) => {
      this.#settle = resolve;
      this.#stream.write(text, "latin1", () => resolve());
    });
  }

  /**
   * Writes text and bytes at once.
   *
   * @param pieces Text, each character a byte, and bytes; at least one is not empty
   * @returns Resolves when the kernel has them, or the connection has closed
   */
  writePieces(pieces: readonly (string | Uint8Array)[]): Promise<void> {
    const stream = this.#stream;
    const last = pieces.findLastIndex(({ length }) => length > 0);
    return new Promise((resolve) => {
      this.#settle = resolve;
      stream.cork();
      for (const [index, piece] of pieces.entries()) {
        const done = index === last ? () => resolve() : undefined;
        if (typeof piece === "string") stream.write(piece, "latin1", done);
        else if (piece.length > 0) stream.write(piece, done);
      }
      stream.uncork();
    });
  }

  /** Notes that the connection has closed. */
  close(): void {
    this.#onGone?.();
    this.#settle?.();
  }
}
