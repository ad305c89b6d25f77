import { Buffer } from "node:buffer";
import { setImmediate } from "node:timers/promises";
import { type AnswerFraming, answerHead, declaredLength, endsConnection, hasLine } from "./answer_head.ts";
import type { AnswerWriter } from "./answer_writer.ts";
import { linesOf, plainAnswer } from "./light_response.ts";

/** The way of an answer to its caller. */
export interface AnswerTarget {
  /** Carries it. */
  readonly writer: AnswerWriter;
  /** Whether the connection ends with the answer. */
  readonly isLast: boolean;
  /** Whether the request is of HTTP/1.0, which has no chunks. */
  readonly isOld?: boolean | undefined;
  /** Whether the request asks for the head alone. */
  readonly isHead?: boolean | undefined;
  /** Header lines to add where the answer has none of that name, names and values in turns. Default: none. */
  readonly addedLines?: readonly string[] | undefined;
  /** Called when the whole answer waits for the caller to take it. */
  readonly onMade?: (() => void) | undefined;
  /** Called after each chunk of a body that is sent as it comes. */
  readonly onProgress?: (() => void) | undefined;
}

/** Largest body that is held back to be sent with its length, in bytes. */
const MAX_WHOLE_BYTES = 65_536;

type Reader = ReadableStreamDefaultReader<Uint8Array>;
type Read = Awaited<ReturnType<Reader["read"]>>;

/** The chunks of a body that were there at once. */
interface Gathered {
  readonly chunks: readonly Uint8Array[];
  /** The read that waits for what comes later; undefined when that was all. */
  readonly pending?: Promise<Read> | undefined;
}

/**
 * Sends an answer, and wipes its bytes once they are sent: a plaintext may be among them.
 *
 * A body that is there at once goes out whole, with its length. One that comes over time, or is larger than 64 KiB,
 * goes out in chunks as they come, no faster than the caller takes them.
 *
 * @param answer Read to its end, or cancelled when the caller goes away
 * @param target The way to the caller; nothing is sent when that has ended
 * @returns Whether the connection ends with it
 * @throws The errors of the body's own stream, and an error when the body is not as long as the answer says
 */
export async function sendAnswer(answer: Response, target: AnswerTarget): Promise<boolean> {
  const plain = plainAnswer(answer);
  const lines = addLines(plain?.lines ?? linesOf(answer.headers), target.addedLines);
  if (plain !== undefined) return await sendText(plain.status, lines, plain.text, target);
  const { status } = answer;
  // Response.error() has 0, and Deno makes answers of 101: a client would wait for another answer behind it.
  if (status < 200) throw new RangeError("The answer's status is not one of a final answer");
  const reader = answer.body?.getReader();
  const { chunks, pending } = reader === undefined ? { chunks: [] } : await gather(reader);
  try {
    if (target.writer.isGone) leave(reader, pending);
    else if (reader === undefined || pending === undefined) {
      return await sendWhole(status, lines, chunks, target);
    } else return await new ChunkSender(status, lines, target).send(chunks, reader, pending);
    return true;
  } finally {
    wipe(chunks);
  }
}

function addLines(lines: readonly string[], added: readonly string[] = []): readonly string[] {
  if (added.length === 0) return lines;
  const all = [...lines];
  for (let index = 0; index < added.length; index += 2) {
    const name = added[index] as string;
    if (!hasLine(lines, name)) all.push(name, added[index + 1] as string);
  }
  return all;
}

async function gather(reader: Reader): Promise<Gathered> {
  const chunks: Uint8Array[] = [];
  try {
    for (let length = 0; length <= MAX_WHOLE_BYTES;) {
      const read = reader.read();
      const next = await soon(read);
      if (next === undefined) return { chunks, pending: read };
      if (next.done) return { chunks };
      chunks.push(bytesOf(next.value));
      length += next.value.length;
    }
    return { chunks, pending: reader.read() };
  } catch (error) {
    wipe(chunks);
    leave(reader);
    throw error;
  }
}

/** Resolves with the result, or with undefined where it is not there in this turn of the event loop. */
async function soon(read: Promise<Read>): Promise<Read | undefined> {
  let next: Read | undefined;
  read.then((result) => next = result, () => {});
  // Cheaper than a race, and enough for a stream that has its bytes.
  for (let microtask = 0; microtask < 4 && next === undefined; microtask++) await undefined;
  return next ?? await Promise.race([read, setImmediate(undefined)]);
}

async function sendText(
  status: number,
  lines: readonly string[],
  text: string | null,
  target: AnswerTarget,
): Promise<boolean> {
  const { writer, isHead, onMade } = target;
  if (writer.isGone) return true;
  const length = text === null ? 0 : Buffer.byteLength(text);
  const isLast = target.isLast || endsConnection(lines);
  const head = answerHead({ status, lines, framing: wholeFraming(status, lines, length, target), isLast });
  onMade?.();
  if (text === null || isHead === true) await writer.writeText(head);
  else if (length === text.length) await writer.writeText(head + text); // ASCII: each character is a byte
  else await writer.writePieces([head, Buffer.from(text)]);
  return isLast;
}

async function sendWhole(
  status: number,
  lines: readonly string[],
  chunks: readonly Uint8Array[],
  target: AnswerTarget,
): Promise<boolean> {
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const isLast = target.isLast || endsConnection(lines);
  const head = answerHead({ status, lines, framing: wholeFraming(status, lines, length, target), isLast });
  target.onMade?.();
  await target.writer.writePieces(target.isHead === true || isBodiless(status) ? [head] : [head, ...chunks]);
  return isLast;
}

function wholeFraming(
  status: number,
  lines: readonly string[],
  length: number,
  { isHead }: AnswerTarget,
): AnswerFraming {
  if (isBodiless(status)) return "none";
  // The length that the answer to GET would have, which the application alone may know.
  return isHead === true && length === 0 ? declaredLength(lines) ?? "none" : length;
}

function isBodiless(status: number): boolean {
  return status === 204 || status === 304;
}

/** Sends a body as it comes. */
class ChunkSender {
  readonly #status: number;
  readonly #lines: readonly string[];
  readonly #target: AnswerTarget;
  readonly #framing: AnswerFraming;
  readonly #isLast: boolean;
  #sent = 0;

  constructor(status: number, lines: readonly string[], target: AnswerTarget) {
    this.#status = status;
    this.#lines = lines;
    this.#target = target;
    this.#framing = declaredLength(lines) ?? (target.isOld === true ? "to-end" : "chunked");
    this.#isLast = target.isLast || endsConnection(lines);
  }

  async send(first: readonly Uint8Array[], reader: Reader, pending: Promise<Read>): Promise<boolean> {
    const { writer, isHead, onMade, onProgress } = this.#target;
    const cancel = () => leave(reader);
    writer.onGone = cancel;
    pending.catch(() => {}); // It may fail before it is waited for.
    let isSent = false;
    try {
      await writer.writeText(this.#head());
      if (isHead === true) cancel();
      else for (const chunk of first) await this.#write(chunk);
      let next = await pending;
      for (; !next.done && !writer.isGone && isHead !== true; next = await reader.read()) {
        await this.#write(bytesOf(next.value));
        onProgress?.();
      }
      if (!next.done) wipe([next.value]);
      onMade?.();
      if (!writer.isGone && isHead !== true) await this.#end();
      isSent = true;
      return this.#isLast;
    } finally {
      writer.onGone = undefined;
      // A write may fail before the stream says that it has closed.
      if (!isSent || writer.isGone) leave(reader, pending);
    }
  }

  #head(): string {
    return answerHead({
      status: this.#status,
      lines: this.#lines,
      framing: this.#framing,
      isLast: this.#isLast,
    });
  }

  /** Resolves when the bytes are taken, or the connection has ended, and wipes them. */
  async #write(chunk: Uint8Array): Promise<void> {
    const { writer } = this.#target;
    this.#sent += chunk.length;
    try {
      if (typeof this.#framing === "number" && this.#sent > this.#framing) {
        throw new Error("The body is longer");
      }
      if (chunk.length === 0 || writer.isGone) return;
      if (this.#framing !== "chunked") await writer.writePieces([chunk]);
      else await writer.writePieces([`${chunk.length.toString(16)}\r\n`, chunk, "\r\n"]);
    } finally {
      wipe([chunk]);
    }
  }

  async #end(): Promise<void> {
    if (typeof this.#framing === "number" && this.#sent < this.#framing) {
      throw new Error("The body is shorter");
    }
    if (this.#framing === "chunked") await this.#target.writer.writeText("0\r\n\r\n");
  }
}

/** Refuses chunks that fetch() would refuse: the length of others is not their number of bytes. */
function bytesOf(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  throw new TypeError("A chunk of the answer's body is no Uint8Array");
}

/** Cancels a body, and wipes what an open read of it still brings. */
function leave(reader: Reader | undefined, pending?: Promise<Read>): void {
  reader?.cancel().catch(() => {});
  pending?.then((read) => read.done || wipe([read.value]), () => {});
}

/** Nobody else holds these bytes. */
function wipe(chunks: readonly Uint8Array[]): void {
  for (const chunk of chunks) chunk.fill(0);
}
