/**
 * Requests and answers of HTTP as binary messages (RFC 9292), which sealed HTTP carries. Both forms are read, that of
 * known length and that of indeterminate length; the form of known length is written. It runs in browsers, too.
 *
 * The reader takes what such a message needs, and refuses the rest by name: interim answers (1xx), trailers, fields
 * that belong to a connection, and anything that HTTP/2 calls malformed.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9292
 *
 * @module
 */
import { concatBytes } from "../core/bytes.ts";
import {
  type BinaryHttpLimits,
  checkField,
  type FieldLine,
  FieldList,
  malformed,
  toText,
  withLength,
} from "./field_list.ts";
import { encodeVarint, MessageReader } from "./varint.ts";

export { type BinaryHttpLimits, type FieldLine, isSealable } from "./field_list.ts";

/** Request of HTTP as a binary message. */
export interface BinaryRequest {
  /** Method, such as `GET`: 1 to 32 characters. */
  readonly method: string;
  /** `https` or `http`. */
  readonly scheme: string;
  /** Host and port, or nothing. */
  readonly authority: string;
  /** Path and query, from the first slash on. */
  readonly path: string;
  /** Headers, in order. */
  readonly headers: readonly FieldLine[];
  /** Body. Of a message that was read it may be a view, and is then wiped with the message. */
  readonly content: Uint8Array;
}

/** Answer of HTTP as a binary message. */
export interface BinaryResponse {
  /** Status, 200 to 599. */
  readonly status: number;
  /** Headers, in order. */
  readonly headers: readonly FieldLine[];
  /** Body. Of a message that was read it may be a view, and is then wiped with the message. */
  readonly content: Uint8Array;
}

/** Block that messages are filled up to with zeros, in bytes, so that their lengths tell less of what is in them. */
export const PADDING_BLOCK_BYTES = 256;

const KNOWN_REQUEST = 0;
const KNOWN_RESPONSE = 1;
const OPEN_REQUEST = 2;
/** Framing of an answer of indeterminate length. */
export const OPEN_RESPONSE = 3;

const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/;
const SCHEME = /^https?$/;
const AUTHORITY = /^[\w.~!$&'()*+,;=:[\]%-]{0,255}$/;
/** Visible characters but `"`, `#`, `<`, `>`, and before the query `\`, which URLs read as a slash. */
const PATH = /^\/[!$-;=@-[\]-~]*(?:\?[!$-;=?-~]*)?$/;
/**
 * Writes a request in the form of known length.
 *
 * @param request The request
 * @returns The message, filled up to a multiple of {@link PADDING_BLOCK_BYTES}; the caller wipes it
 * @throws {ProtocolError} When a part of it may not stand in such a message
 */
export function encodeBinaryRequest(request: BinaryRequest): Uint8Array<ArrayBuffer> {
  checkControl(request);
  const { method, scheme, authority, path, headers, content } = request;
  return join(KNOWN_REQUEST, [method, scheme, authority, path].map(withLength), headers, content);
}

/**
 * Reads a request.
 *
 * @param bytes The message
 * @param limits Limits of its headers. Its body is no longer than the message
 * @throws {ProtocolError} When it is no request, is cut off, exceeds a limit, or has a part that is not known
 */
export function decodeBinaryRequest(bytes: Uint8Array, limits: BinaryHttpLimits = {}): BinaryRequest {
  const reader = new MessageReader(bytes);
  const framing = reader.varint();
  if (framing !== KNOWN_REQUEST && framing !== OPEN_REQUEST) throw malformed("it is not a request");
  const [method, scheme, authority, path] = Array.from({ length: 4 }, () => toText(reader.lengthAndBytes()));
  const control = { method: method!, scheme: scheme!, authority: authority!, path: path! };
  checkControl(control);
  const parts = readParts(reader, framing === OPEN_REQUEST, limits);
  const isOfLength = (line: FieldLine) => line[1] === String(parts.content.length);
  if (!parts.headers.filter(([name]) => name === "content-length").every(isOfLength)) {
    throw malformed("its content-length is not that of its body");
  }
  return { ...control, ...parts };
}

/**
 * Writes an answer in the form of known length.
 *
 * @param response The answer
 * @returns The message, filled up to a multiple of {@link PADDING_BLOCK_BYTES}; the caller wipes it
 * @throws {ProtocolError} When a part of it may not stand in such a message
 */
export function encodeBinaryResponse(response: BinaryResponse): Uint8Array<ArrayBuffer> {
  const { status, headers, content } = response;
  checkStatus(status);
  return join(KNOWN_RESPONSE, [encodeVarint(status)], headers, content);
}

/**
 * Reads an answer.
 *
 * @param bytes The message
 * @param limits Limits of its headers. Its body is no longer than the message
 * @throws {ProtocolError} When it is no answer, is cut off, exceeds a limit, or has a part that is not known
 */
export function decodeBinaryResponse(bytes: Uint8Array, limits: BinaryHttpLimits = {}): BinaryResponse {
  const reader = new MessageReader(bytes);
  const framing = reader.varint();
  if (framing !== KNOWN_RESPONSE && framing !== OPEN_RESPONSE) throw malformed("it is not an answer");
  const status = reader.varint();
  checkStatus(status);
  return { status, ...readParts(reader, framing === OPEN_RESPONSE, limits) };
}

function join(
  framing: number,
  control: readonly Uint8Array[],
  headers: readonly FieldLine[],
  content: Uint8Array,
): Uint8Array<ArrayBuffer> {
  for (const line of headers) checkField(line);
  const fields = concatBytes(headers.flat().map(withLength));
  const head = concatBytes([
    encodeVarint(framing),
    ...control,
    encodeVarint(fields.length),
    fields,
    encodeVarint(content.length),
  ]);
  const length = head.length + content.length;
  const message = new Uint8Array(Math.ceil(length / PADDING_BLOCK_BYTES) * PADDING_BLOCK_BYTES);
  message.set(head);
  message.set(content, head.length);
  // Trailers are left out: zeros stand for them and for the padding.
  return message;
}

type Parts = Pick<BinaryResponse, "headers" | "content">;

/** A message may end before any part that is empty. */
function readParts(reader: MessageReader, isOpen: boolean, limits: BinaryHttpLimits): Parts {
  const headers = reader.isAtEnd ? [] : isOpen ? openFields(reader, limits) : knownFields(reader, limits);
  const content = reader.isAtEnd ? new Uint8Array(0) : isOpen ? openContent(reader) : reader.lengthAndBytes();
  if (!reader.isAtEnd && reader.varint() !== 0) throw malformed("it has trailers");
  if (reader.rest.some((byte) => byte !== 0)) throw malformed("its padding is not zero");
  return { headers, content };
}

function knownFields(reader: MessageReader, limits: BinaryHttpLimits): FieldLine[] {
  const section = new MessageReader(reader.lengthAndBytes());
  const fields = new FieldList(limits);
  while (!section.isAtEnd) fields.add(section.lengthAndBytes(), section.lengthAndBytes());
  return fields.lines;
}

function openFields(reader: MessageReader, limits: BinaryHttpLimits): FieldLine[] {
  const fields = new FieldList(limits);
  for (let name = reader.lengthAndBytes(); name.length > 0; name = reader.lengthAndBytes()) {
    fields.add(name, reader.lengthAndBytes());
  }
  return fields.lines;
}

function openContent(reader: MessageReader): Uint8Array {
  const chunks: Uint8Array[] = [];
  for (let chunk = reader.lengthAndBytes(); chunk.length > 0; chunk = reader.lengthAndBytes()) {
    chunks.push(chunk);
  }
  return chunks.length === 1 ? chunks[0]! : concatBytes(chunks);
}

function checkControl(control: Pick<BinaryRequest, "method" | "scheme" | "authority" | "path">): void {
  if (!METHOD.test(control.method)) throw malformed("its method is malformed");
  if (!SCHEME.test(control.scheme)) throw malformed("its scheme is neither https nor http");
  if (!AUTHORITY.test(control.authority)) throw malformed("its authority is malformed");
  if (!PATH.test(control.path)) throw malformed("its path is malformed");
}

/**
 * Checks the status of an answer.
 *
 * @param status 200 to 599
 * @throws {ProtocolError} When it is none
 */
export function checkStatus(status: number): void {
  if (status >= 100 && status < 200) throw malformed("it has an informational answer (1xx)");
  if (!Number.isInteger(status) || status < 200 || status > 599) throw malformed("its status is malformed");
}
