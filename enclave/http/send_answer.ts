import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { listHeaders } from "../../lib/transport/http_headers.ts";

/** The way of an answer to its caller. */
export interface AnswerTarget {
  /** Makes the answer's head. */
  readonly response: ServerResponse;
  /** Carries it. */
  readonly stream: Duplex;
  /** Whether the connection ends with the answer. */
  readonly isLast: boolean;
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
 * @throws The errors of the body's own stream
 */
export async function sendAnswer(answer: Response, target: AnswerTarget): Promise<void> {
  const reader = answer.body?.getReader();
  const { chunks, pending } = reader === undefined ? { chunks: [] } : await gather(reader);
  try {
    if (target.stream.destroyed) await reader?.cancel();
    else if (reader === undefined || pending === undefined) await sendWhole(answer, chunks, target);
    else await sendInChunks(answer, chunks, reader, pending, target);
  } finally {
    wipe(chunks);
  }
}

async function gather(reader: Reader): Promise<Gathered> {
  const chunks: Uint8Array[] = [];
  for (let length = 0; length <= MAX_WHOLE_BYTES;) {
    const read = reader.read();
    const next = await soon(read);
    if (next === undefined) return { chunks, pending: read };
    if (next.done) return { chunks };
    chunks.push(next.value);
    length += next.value.length;
  }
  return { chunks, pending: reader.read() };
}

/** Resolves with the result, or with undefined where it is not there in this turn of the event loop. */
async function soon(read: Promise<Read>): Promise<Read | undefined> {
  let next: Read | undefined;
  read.then((result) => next = result, () => {});
  // Cheaper than a race, and enough for a stream that has its bytes.
  for (let microtask = 0; microtask < 4 && next === undefined; microtask++) await undefined;
  return next ?? await Promise.race([read, setImmediate(undefined)]);
}

async function sendWhole(
  answer: Response,
  chunks: readonly Uint8Array[],
  { response, stream, isLast }: AnswerTarget,
): Promise<void> {
  const headers = headersOf(answer, isLast);
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  if (answer.status !== 204 && answer.status !== 304) headers["content-length"] = String(length);
  response.writeHead(answer.status, headers);
  for (const chunk of chunks) response.write(chunk);
  await end(response, stream);
}

async function sendInChunks(
  answer: Response,
  first: readonly Uint8Array[],
  reader: Reader,
  pending: Promise<Read>,
  { response, stream, isLast, onProgress }: AnswerTarget,
): Promise<void> {
  const cancel = () => void reader.cancel().catch(() => {});
  stream.once("close", cancel);
  try {
    response.writeHead(answer.status, headersOf(answer, isLast));
    response.flushHeaders();
    for (const chunk of first) response.write(chunk);
    for (let next = await pending; !next.done && !stream.destroyed; next = await reader.read()) {
      await write(response, stream, next.value);
      onProgress?.();
    }
    if (!stream.destroyed) await end(response, stream);
  } finally {
    stream.off("close", cancel);
    // A write may fail before the stream says that it has closed.
    if (stream.destroyed) cancel();
  }
}

/** Resolves when the bytes are taken, or the connection has ended, and wipes them. */
async function write(response: ServerResponse, stream: Duplex, chunk: Uint8Array): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.once("close", resolve);
  response.write(chunk, () => resolve());
  await promise;
  stream.off("close", resolve);
  wipe([chunk]);
}

async function end(response: ServerResponse, stream: Duplex): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  response.once("close", resolve);
  stream.once("close", resolve);
  response.end();
  await promise;
  stream.off("close", resolve);
}

function headersOf(answer: Response, isLast: boolean): OutgoingHttpHeaders {
  return { ...listHeaders(answer), ...(isLast ? { connection: "close" } : {}) };
}

/** Nobody else holds these bytes. */
function wipe(chunks: readonly Uint8Array[]): void {
  for (const chunk of chunks) chunk.fill(0);
}
