import { Buffer } from "node:buffer";
import { Readable } from "node:stream";

/** Bytes that are handed to the connection at once. */
const PART_BYTES = 65_536;

/** Body of a request: bytes that are there already, or a stream of them. */
export type RequestBody = Uint8Array | AsyncIterable<unknown>;

/**
 * Reads the body that an SDK client gives.
 *
 * @param body Text, bytes, a stream of Node.js or of the web, a Blob, or nothing
 * @returns The body; nothing is no bytes
 * @throws {TypeError} When it is anything else
 */
export function readBody(body: unknown): RequestBody {
  if (body === undefined || body === null) return new Uint8Array();
  if (typeof body === "string") return Buffer.from(body);
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  const stream = body instanceof Blob ? body.stream() : body;
  if (typeof stream === "object" && Symbol.asyncIterator in stream) return stream as AsyncIterable<unknown>;
  throw new TypeError("The body must be text, bytes, a Blob or a stream");
}

/** Streams that were begun: a second time they would end at once, as if there were no more bytes. */
const begun = new WeakSet<object>();

/**
 * Gives the parts of a body, and checks their length: one byte more would be read as the next request on the
 * connection. A stream is given once: what is left of it would be stored as the whole.
 *
 * @param body Body of the request
 * @param declared Its length, where a header says it
 * @throws {TypeError} When the body is longer or shorter, a stream was begun before, or a chunk of one is neither text
 *   nor bytes
 */
export async function* partsOf(body: RequestBody, declared: number | undefined): AsyncGenerator<Uint8Array> {
  if (isStream(body)) {
    if (begun.has(body)) throw new TypeError("The body is a stream, which cannot be sent twice");
    begun.add(body);
  }
  let length = 0;
  for await (const chunk of body instanceof Uint8Array ? [body] : body) {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    if (!(bytes instanceof Uint8Array)) throw new TypeError("The body's chunks must be text or Uint8Array");
    length += bytes.length;
    if (length > (declared ?? Infinity)) throw anotherLength();
    for (let at = 0; at < bytes.length; at += PART_BYTES) yield bytes.subarray(at, at + PART_BYTES);
  }
  if (declared !== undefined && length !== declared) throw anotherLength();
}

function isStream(body: RequestBody): boolean {
  return body instanceof Readable || body instanceof ReadableStream || "next" in body;
}

function anotherLength(): TypeError {
  return new TypeError("The body must be as long as its header content-length says");
}
