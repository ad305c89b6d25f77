/**
 * Answers of HTTP as binary messages of indeterminate length (RFC 9292, section 3.2), written and read as they come. It
 * runs in browsers, too.
 *
 * @module
 */
import { concatBytes } from "../core/bytes.ts";
import { type BinaryResponse, checkStatus, OPEN_RESPONSE, PADDING_BLOCK_BYTES } from "./binary_http.ts";
import type { ByteSource } from "./byte_source.ts";
import { type BinaryHttpLimits, checkField, FieldList, malformed, withLength } from "./field_list.ts";
import { encodeVarint } from "./varint.ts";

/** Status and headers of an answer. */
export type ResponseHead = Pick<BinaryResponse, "status" | "headers">;

/**
 * Writes the head of an answer.
 *
 * @param head Status and headers
 * @throws {ProtocolError} When a part of it may not stand in such a message
 */
export function encodeResponseHead({ status, headers }: ResponseHead): Uint8Array<ArrayBuffer> {
  checkStatus(status);
  for (const line of headers) checkField(line);
  const fields = headers.flat().map(withLength);
  return concatBytes([encodeVarint(OPEN_RESPONSE), encodeVarint(status), ...fields, [0]]);
}

/**
 * Writes a part of a body.
 *
 * @param content At least one byte: a part without any would be the body's end
 * @returns The part, for the caller to wipe
 */
export function encodeContent(content: Uint8Array): Uint8Array<ArrayBuffer> {
  return concatBytes([encodeVarint(content.length), content]);
}

/**
 * Writes the end of a body, with no trailers after it.
 *
 * @param length Bytes of the message so far, which is filled up to a multiple of 256
 */
export function encodeContentEnd(length: number): Uint8Array<ArrayBuffer> {
  const whole = Math.ceil((length + 2) / PADDING_BLOCK_BYTES) * PADDING_BLOCK_BYTES;
  return new Uint8Array(whole - length);
}

/**
 * Reads the head of an answer.
 *
 * @param source The message
 * @param limits Limits of the headers
 * @throws {ProtocolError} When it is no answer of indeterminate length, is cut off, or exceeds a limit
 */
export async function readResponseHead(
  source: ByteSource,
  limits: BinaryHttpLimits = {},
): Promise<ResponseHead> {
  if (await source.varint() !== OPEN_RESPONSE) throw malformed("it is not an answer of indeterminate length");
  const status = await source.varint();
  checkStatus(status);
  const fields = new FieldList(limits);
  for (let name = await field(source, fields); name.length > 0; name = await field(source, fields)) {
    fields.add(name, await field(source, fields));
  }
  return { status, headers: fields.lines };
}

/**
 * Reads the body of an answer, after its head, as it comes.
 *
 * @param source The message
 * @returns Parts of the body, views of what arrived
 * @throws {ProtocolError} When it is cut off, or has trailers or a padding that is not zero
 */
export async function* readContent(source: ByteSource): AsyncGenerator<Uint8Array, void> {
  for (let length = await source.varint(); length > 0; length = await source.varint()) {
    for (let left = length; left > 0;) {
      const part = await source.some(left);
      left -= part.length;
      yield part;
    }
  }
  if (await source.varint() !== 0) throw malformed("it has trailers");
  while (!await source.isAtEnd()) {
    if ((await source.some(Infinity)).some((byte) => byte !== 0)) throw malformed("its padding is not zero");
  }
}

/** Reads a name or value, no longer than the headers may still be. */
async function field(source: ByteSource, fields: FieldList): Promise<Uint8Array> {
  const length = await source.varint();
  if (length > fields.bytesLeft) throw malformed("it has too many headers");
  return await source.take(length);
}
