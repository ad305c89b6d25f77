import type { Buffer } from "node:buffer";
import { ChunkedBody } from "./chunked_body.ts";
import type { RequestBody } from "./request_body.ts";
import { parseRequestHead, type RequestHead } from "./request_head.ts";

/** Bytes of a head, at most. */
const MAX_HEAD_BYTES = 16_384;

/** Place that the reader has come to: a head, a body, the end of a request, or bytes that are no HTTP. */
export type ReaderPlace = "head" | "body" | "end" | "bad" | "too-large";

const CR = 13;
const LF = 10;

/** Reads one request after the other out of the bytes of a connection, and never past the end of one. */
export class RequestReader {
  #place: ReaderPlace = "head";
  #head: RequestHead | undefined;
  #body: RequestBody | undefined;
  #chunks: ChunkedBody | undefined;
  #left = 0;
  /** Bytes of a head that were looked at and do not end it. */
  #searched = 0;

  /** Place that it has come to. */
  get place(): ReaderPlace {
    return this.#place;
  }

  /** Head of the request that is read. */
  get head(): RequestHead | undefined {
    return this.#head;
  }

  /**
   * Looks for a head.
   *
   * @param bytes All that came since the last request
   * @returns The number of bytes that the head has; 0 while it has not come whole
   */
  readHead(bytes: Buffer): number {
    const length = this.#findEnd(bytes);
    if (length === 0) {
      if (bytes.length > 0 && !isLetter(bytes[0] as number)) this.#place = "bad";
      if (bytes.length >= MAX_HEAD_BYTES) this.#place = "too-large";
      return 0;
    }
    this.#searched = 0;
    this.#head = length > MAX_HEAD_BYTES ? undefined : parseRequestHead(bytes.toString("latin1", 0, length));
    if (this.#head === undefined) {
      this.#place = length > MAX_HEAD_BYTES ? "too-large" : "bad";
      return length;
    }
    const { framing } = this.#head;
    this.#left = framing === "chunked" ? 0 : framing;
    this.#chunks = framing === "chunked" ? new ChunkedBody() : undefined;
    this.#place = framing === 0 ? "end" : "body";
    return length;
  }

  /** Sets the destination of the body, if there is one. */
  set body(body: RequestBody | undefined) {
    this.#body = body;
  }

  /**
   * Reads on in the body. Wipes what it has read.
   *
   * @param bytes Bytes that came
   * @returns The number of bytes that belong to the body
   */
  readBody(bytes: Uint8Array): number {
    const count = this.#chunks === undefined ? this.#readLength(bytes) : this.#readChunks(bytes);
    bytes.fill(0, 0, count);
    return count;
  }

  /** Goes on to the next request. */
  next(): void {
    this.#place = "head";
    this.#head = undefined;
    this.#body = undefined;
    this.#chunks = undefined;
  }

  #findEnd(bytes: Buffer): number {
    for (let at = Math.max(3, this.#searched); at < bytes.length; at++) {
      if (bytes[at] !== LF || bytes[at - 1] !== CR || bytes[at - 2] !== LF || bytes[at - 3] !== CR) continue;
      return at + 1;
    }
    this.#searched = bytes.length;
    return 0;
  }

  #readLength(bytes: Uint8Array): number {
    const content = bytes.subarray(0, this.#left);
    this.#left -= content.length;
    this.#body?.take(content);
    if (this.#left === 0) this.#end();
    return content.length;
  }

  #readChunks(bytes: Uint8Array): number {
    const count = this.#chunks?.push(bytes, (content) => this.#body?.take(content)) ?? -1;
    if (count < 0) this.#place = "bad";
    else if (this.#chunks?.isWhole === true) this.#end();
    return count < 0 ? bytes.length : count;
  }

  #end(): void {
    this.#place = "end";
    this.#body?.end();
  }
}

function isLetter(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a;
}
