import { createHash } from "node:crypto";
import { type BinaryRequest, decodeBinaryRequest } from "../../lib/wire/binary_http.ts";
import { BOOT_ID_FIELD, REQUEST_ID_FIELD } from "../../lib/wire/sealed_fields.ts";
import { toHex } from "../../lib/core/bytes.ts";
import { ProtocolError } from "../../lib/core/errors.ts";
import { lightRequest } from "../http/light_request.ts";
import { BadRequestError } from "../service_errors.ts";

/** Request that was sealed, after every check of its form. */
export interface UnsealedRequest {
  /** The request, as the application gets it. Its body is `content`, and not copied. */
  readonly request: Request;
  /** Body, for the caller to wipe with the message. */
  readonly content: Uint8Array;
  /** Id that no other request has: the sender's own, or the encapsulated key. */
  readonly id: string;
  /** SHA-256 of the request: method, path, headers, body and id, without its date and boot. 64 hex digits. */
  readonly digest: string;
  /** Date of the request, milliseconds since 1970. */
  readonly dateMs: number;
}

/** Parts that a request is unsealed from. */
export interface SealedParts {
  /** Binary HTTP message. */
  readonly message: Uint8Array;
  /** Encapsulated key, which stands for an id where the sender gives none. */
  readonly encapsulatedKey: Uint8Array;
  /** Id of this boot, which the request must name; undefined when it may name any. */
  readonly bootId: string | undefined;
  /** Finds the signal that aborts when there is no one left to answer. */
  readonly signal: () => AbortSignal;
}

const DATE =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT$/;

/** Headers that the application does not get: they are about the seal, or an address that is not the caller's to choose. */
const OWN_FIELDS: readonly string[] = [BOOT_ID_FIELD, REQUEST_ID_FIELD, "host"];

/** Headers that say when, for whom and as what a request was sealed. */
const SEAL_FIELDS: readonly string[] = ["date", BOOT_ID_FIELD, REQUEST_ID_FIELD];

/**
 * Reads a request that was sealed. Scheme and authority count for nothing: the URL's host is always `enclave`.
 *
 * @param parts The message, and what it must fit to
 * @throws {BadRequestError} When it is none, or lacks its date or the id of this boot
 */
export function unsealRequest(
  { message, encapsulatedKey, bootId, signal }: SealedParts,
): UnsealedRequest {
  const read = decode(message);
  const date = only(read, "date");
  if (date === undefined || !DATE.test(date)) {
    throw expected("date", "the time, such as Sun, 06 Nov 1994 08:49:37 GMT");
  }
  const boot = only(read, BOOT_ID_FIELD);
  if (bootId !== undefined && boot !== bootId) throw expected(BOOT_ID_FIELD, "the id of this boot");
  if (!/^[0-9a-f]{32}$/.test(boot ?? "")) throw expected(BOOT_ID_FIELD, "the id of a boot");
  const id = only(read, REQUEST_ID_FIELD);
  if (id !== undefined && !/^[0-9a-f]{32}$/.test(id)) {
    throw expected(REQUEST_ID_FIELD, "32 lowercase hex digits");
  }
  const { content } = read;
  const known = id ?? toHex(encapsulatedKey);
  return {
    request: toRequest(read, signal),
    content,
    id: known,
    digest: digestOf(read, known),
    dateMs: Date.parse(date),
  };
}

/** Stays the same when the sender dates a request anew, or seals it for another boot. */
function digestOf({ method, path, headers, content }: BinaryRequest, id: string): string {
  const lines = headers.filter(([name]) => !SEAL_FIELDS.includes(name));
  return createHash("sha256").update(JSON.stringify([id, method, path, lines])).update(content).digest("hex");
}

function decode(message: Uint8Array): BinaryRequest {
  try {
    return decodeBinaryRequest(message);
  } catch (error) {
    if (error instanceof ProtocolError) throw expected("", "a binary HTTP request");
    throw error;
  }
}

/** Finds the value of a header; none when it is there twice. */
function only({ headers }: BinaryRequest, name: string): string | undefined {
  const values = headers.filter((line) => line[0] === name);
  return values.length === 1 ? values[0]?.[1] : undefined;
}

/** Has the runtime check everything but the body, of which it would keep a copy that nobody wipes. */
function toRequest(read: BinaryRequest, signal: () => AbortSignal): Request {
  const own = read.headers.filter(([name]) => !OWN_FIELDS.includes(name)).map(([...line]) => line);
  try {
    const { method, url, headers } = new Request(`http://enclave${read.path}`, {
      method: read.method,
      headers: own,
    });
    const body = read.content as Uint8Array<ArrayBuffer>;
    if (body.length === 0 || (method !== "GET" && method !== "HEAD")) {
      return lightRequest({ method, url, lines: [...headers].flat(), body, signal });
    }
  } catch {
    // Said below.
  }
  throw expected("", "a method of fetch, and no body with GET and HEAD");
}

function expected(path: string, expectation: string): BadRequestError {
  return new BadRequestError([{ path, expected: expectation }]);
}
