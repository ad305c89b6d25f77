import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";

/** Notices of an {@link AnswerBody}. */
export interface AnswerBodyParts {
  /** Called with each chunk. */
  readonly onChunk: () => void;
  /** Called when the reader wants no more, or the answer breaks off; ends the connection. */
  readonly onBroken: () => void;
  /** Makes the error for an answer that breaks off. */
  readonly broken: (cause?: unknown) => Error;
  /** Bytes that the head of the answer promises, where it does. */
  readonly length: number | undefined;
}

/**
 * Body of an answer, as SDK clients on Node.js read it. An answer that breaks off is an error on either runtime, never
 * a shorter one. Nothing is read ahead of the reader but what the stream's own buffer takes.
 *
 * A reader that comes after the break gets what had arrived and then the error: told before it listens, the SDK's would
 * wait for ever, and a stream without a listener would end the process.
 */
export class AnswerBody extends Readable {
  readonly #message: IncomingMessage;
  readonly #parts: AnswerBodyParts;
  #left: number | undefined;
  #hasEnded = false;
  #isAsked = false;
  #failure: Error | undefined;

  /**
   * @param message Answer whose body nobody else reads
   * @param parts Notices
   */
  constructor(message: IncomingMessage, parts: AnswerBodyParts) {
    super();
    this.#message = message;
    this.#parts = parts;
    this.#left = parts.length;
    this.on("error", () => {});
    message.on("data", (chunk: Uint8Array) => this.#take(chunk));
    message.once("end", () => this.#end());
    const fail = (cause?: unknown) => this.#fail(cause);
    message.on("error", fail);
    message.once("close", fail);
    message.pause();
  }

  /** Called by the stream when its reader wants more. */
  override _read(): void {
    this.#isAsked = true;
    if (this.#failure === undefined) this.#message.resume();
    else this.destroy(this.#failure);
  }

  /**
   * Ends the body with an error, for now or for whoever reads next.
   *
   * @param failure The error
   */
  breakOff(failure: Error): void {
    if (this.#hasEnded || this.#failure !== undefined) return;
    this.#failure = failure;
    if (this.#isAsked) this.destroy(failure);
  }

  /** Called by the stream at its end, and when its reader wants no more. */
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#hasEnded) this.#parts.onBroken();
    callback(error);
  }

  #take(chunk: Uint8Array): void {
    if (this.destroyed || this.#failure !== undefined) return;
    this.#parts.onChunk();
    this.#isAsked = false;
    if (this.#left !== undefined) this.#left -= chunk.length;
    if (!this.push(chunk)) this.#message.pause();
  }

  #end(): void {
    const isShort = this.#left !== undefined && this.#left !== 0;
    if (isShort || !this.#message.complete) return this.#fail();
    this.#hasEnded = true;
    this.push(null);
  }

  #fail(cause?: unknown): void {
    if (this.#hasEnded || this.destroyed) return;
    this.breakOff(this.#parts.broken(cause));
    this.#parts.onBroken();
  }
}
