import {
  type BinaryRequest,
  decodeBinaryResponse,
  encodeBinaryRequest,
  type FieldLine,
  isSealable,
} from "../wire/binary_http.ts";
import { BOOT_ID_FIELD, REQUEST_ID_FIELD } from "../wire/sealed_fields.ts";

/** Request as a caller gave it, read once: it may be sealed more than once. */
export interface PlainRequest {
  readonly method: string;
  /** Path and query, from the first slash on. */
  readonly path: string;
  readonly headers: readonly FieldLine[];
  /** Body, for its owner to wipe. */
  readonly content: Uint8Array<ArrayBuffer>;
  /** Id that stays the same however often the request is sealed, 32 hex digits. */
  readonly id: string;
}

/** Methods that may be served twice without harm (RFC 9110, section 9.2.2), of those that fetch has. */
const IDEMPOTENT: readonly string[] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"];

/** Statuses whose answers have no body for fetch. */
export const BODILESS: readonly number[] = [204, 205, 304];

/** Headers that only this side writes. */
const OWN_FIELDS: readonly string[] = ["date", BOOT_ID_FIELD, REQUEST_ID_FIELD];

/** Tells whether it does no harm to serve a request twice. */
export function isIdempotent({ method }: PlainRequest): boolean {
  return IDEMPOTENT.includes(method);
}

/**
 * Takes the path out of a URL below the base. Anything else would be another server's.
 *
 * @param base URL of the enclave, up to the slash before `v1`
 * @param input URL or request of fetch, or a path
 * @param init Options of fetch
 * @throws {TypeError} When the URL is none, or not below the base
 */
export function toRequest(
  base: string,
  input: string | URL | Request,
  init?: RequestInit,
): { readonly request: Request; readonly path: string } {
  const isPath = typeof input === "string" && input.startsWith("/");
  const request = new Request(isPath ? `${base}${input.slice(1)}` : input, init);
  const { href, hash } = new URL(request.url);
  if (!href.startsWith(base)) throw new TypeError(`The URL must begin with ${base}, or be a path`);
  return { request, path: `/${href.slice(base.length, href.length - hash.length)}` };
}

/**
 * Reads a request.
 *
 * @param request Request of fetch
 * @param path Its path and query
 * @param id Its id, 32 hex digits
 */
export async function readPlainRequest(request: Request, path: string, id: string): Promise<PlainRequest> {
  const headers = [...request.headers].filter(([name]) => isSealable(name) && !OWN_FIELDS.includes(name));
  const content = new Uint8Array(await request.arrayBuffer());
  return { method: request.method, path, headers, content, id };
}

/**
 * Writes a request as it is sealed for an enclave.
 *
 * @param request The request
 * @param boot Boot that it is for, and the time to date it with
 * @returns The message, for the caller to wipe
 * @throws {ProtocolError} When a part of it may not stand in such a message
 */
export function encodeFor(
  { method, path, headers, content, id }: PlainRequest,
  { bootId, dateMs }: { readonly bootId: string; readonly dateMs: number },
): Uint8Array<ArrayBuffer> {
  const own: readonly FieldLine[] = [
    ["date", new Date(dateMs).toUTCString()],
    [BOOT_ID_FIELD, bootId],
    [REQUEST_ID_FIELD, id],
  ];
  const message: BinaryRequest = {
    method,
    scheme: "https",
    authority: "enclave",
    path,
    headers: [...own, ...headers],
    content,
  };
  return encodeBinaryRequest(message);
}

/**
 * Reads an answer that was opened.
 *
 * @param message Binary HTTP message
 * @returns The answer, as fetch has it
 * @throws {ProtocolError} When it is none
 */
export function toResponse(message: Uint8Array): Response {
  const { status, headers, content } = decodeBinaryResponse(message);
  const body = BODILESS.includes(status) ? null : new Uint8Array(content);
  return new Response(body, { status, headers: headers.map(([name, value]) => [name, value]) });
}
