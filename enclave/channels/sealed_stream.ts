import { concatBytes } from "../../lib/core/bytes.ts";
import { type AnswerSealer, MAX_CHUNK_BYTES } from "../../lib/wire/answer_chunks.ts";
import { encodeContent, encodeContentEnd, encodeResponseHead } from "../../lib/wire/binary_http_stream.ts";
import { linesOf } from "./sealed_answer.ts";

/** Most bytes of a body in a chunk, which has their number before them. */
const MAX_CONTENT_BYTES = MAX_CHUNK_BYTES - 4;

/**
 * Seals an answer of the application as it comes, in chunks of at most 16 KiB. One chunk is held at a time, and nothing
 * is read ahead of the caller. An answer that breaks off has no last chunk, by which its caller knows.
 *
 * @param answer The answer; its body is read to its end, or cancelled. Its chunks are wiped
 * @param sealer Sealer of the answer, which is disposed at the end
 * @param onEnd Called once, at the end
 * @throws {ProtocolError} When a header may not stand in such a message; the answer is cancelled then
 */
export async function sealInChunks(
  answer: Response,
  sealer: AnswerSealer,
  onEnd: () => void,
): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const stream = new SealedStream(answer, sealer, onEnd);
  try {
    const head = await stream.head();
    return new ReadableStream({
      start: (controller) => controller.enqueue(head),
      pull: (controller) => stream.pull(controller),
      cancel: (reason) => stream.cancel(reason),
    }, { highWaterMark: 0 });
  } catch (error) {
    await stream.cancel(error);
    throw error;
  }
}

class SealedStream {
  readonly #answer: Response;
  readonly #sealer: AnswerSealer;
  readonly #onEnd: () => void;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #read: Uint8Array = new Uint8Array(0);
  #length = 0;
  #hasEnded = false;

  constructor(answer: Response, sealer: AnswerSealer, onEnd: () => void) {
    this.#answer = answer;
    this.#sealer = sealer;
    this.#onEnd = onEnd;
    this.#reader = answer.body?.getReader();
  }

  async head(): Promise<Uint8Array<ArrayBuffer>> {
    const head = encodeResponseHead({ status: this.#answer.status, headers: linesOf(this.#answer) });
    const chunks = [this.#sealer.nonce];
    for (let at = 0; at < head.length; at += MAX_CHUNK_BYTES) {
      chunks.push(await this.#sealer.seal(head.subarray(at, at + MAX_CHUNK_BYTES)));
    }
    this.#length = head.length;
    return concatBytes(chunks);
  }

  async pull(controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>): Promise<void> {
    try {
      const content = await this.#nextContent();
      if (this.#hasEnded) return;
      if (content !== undefined) return controller.enqueue(await this.#seal(content));
      controller.enqueue(await this.#sealer.sealFinal(encodeContentEnd(this.#length)));
      controller.close();
      this.#end();
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  async cancel(reason: unknown): Promise<void> {
    this.#end();
    await this.#reader?.cancel(reason).catch(() => {});
  }

  async #seal(content: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    const part = encodeContent(content);
    content.fill(0);
    this.#length += part.length;
    const sealed = await this.#sealer.seal(part);
    part.fill(0);
    return sealed;
  }

  /** Takes the next bytes of the body; undefined at its end. A part without bytes would be read as the end. */
  async #nextContent(): Promise<Uint8Array | undefined> {
    while (this.#read.length === 0) {
      const next = await this.#reader?.read();
      if (next === undefined || next.done) return undefined;
      this.#read = next.value;
    }
    const content = this.#read.subarray(0, MAX_CONTENT_BYTES);
    this.#read = this.#read.subarray(content.length);
    return content;
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#read.fill(0);
    this.#sealer[Symbol.dispose]();
    this.#onEnd();
  }
}
