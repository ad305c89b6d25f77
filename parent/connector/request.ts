import { checkFields, checkRecord } from "../../lib/core/checks.ts";
import { ProtocolError } from "../../lib/core/errors.ts";
import { GrowingBytes } from "../../lib/core/growing_bytes.ts";
import type { ConnectorAnswer, ConnectorRequest } from "./enclave_connector.ts";

/** Request in the form of `fetch`. */
export interface CheckedRequest {
  /** Path and query. */
  readonly path: string;
  /** Method, headers and body. */
  readonly init: RequestInit;
  /** Whether the caller permits that the enclave serves it twice. */
  readonly isRepeatable: boolean;
}

/**
 * Checks a request.
 *
 * @param request The request
 * @throws {TypeError} When a field is unknown, missing or of a wrong type
 */
export function checkRequest(request: ConnectorRequest): CheckedRequest {
  const { method, path, headers, body, isRepeatable } = checkFields("request", request, FIELDS);
  if (typeof path !== "string" || !/^\/(?!\/)[\x21-\x7e]*$/.test(path) || path.includes("#")) {
    throw new TypeError("path must begin with one slash, and be ASCII without spaces and #");
  }
  const isBytes = body instanceof Uint8Array;
  const isJson = typeof body === "object" && !isBytes;
  const checked = new Headers(
    headers === undefined ? {} : checkRecord("headers", headers) as [string, string][],
  );
  if (isJson && !checked.has("content-type")) checked.set("content-type", "application/json");
  return {
    path,
    init: {
      method: checkMethod(method ?? (body === undefined ? "GET" : "POST")),
      headers: checked,
      body: isJson ? toJson(body) : checkBody(body),
    },
    isRepeatable: isRepeatable === true,
  };
}

/**
 * Reads an answer to its end.
 *
 * @param answer Answer whose body nobody has read
 * @param maxBytes Longest body, in bytes
 * @throws {ProtocolError} When it is longer; the rest is not read
 * @throws {ConnectionError} When the connection breaks
 */
export async function readAnswer(answer: Response, maxBytes: number): Promise<ConnectorAnswer> {
  using bytes = new GrowingBytes(maxBytes);
  for await (const chunk of answer.body ?? []) {
    // Leaving the loop cancels the body, and closes the connection.
    if (!bytes.push(chunk)) throw tooLong(maxBytes);
    // There may be a secret in it: one copy is enough to wipe.
    chunk.fill(0);
  }
  const body = bytes.copy();
  return {
    status: answer.status,
    headers: answer.headers,
    body,
    json: () => parse(body),
    text: () => new TextDecoder().decode(body),
  };
}

const FIELDS = ["method", "path", "headers", "body", "isRepeatable"];

function checkMethod(method: string): string {
  if (typeof method === "string" && /^[A-Z]{1,20}$/.test(method)) return method;
  throw new TypeError("method must be a word in capitals, such as POST");
}

function toJson(body: object): string {
  const text: unknown = JSON.stringify(body);
  if (typeof text === "string") return text;
  throw new TypeError("body must be text, bytes, or an object that has a form in JSON");
}

function checkBody(body: unknown): string | Uint8Array<ArrayBuffer> | null {
  if (body === undefined) return null;
  if (typeof body === "string") return body;
  if (body instanceof Uint8Array) return body as Uint8Array<ArrayBuffer>;
  throw new TypeError("body must be text, bytes, or an object that is sent as JSON");
}

function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    // The runtimes' own messages quote the text.
    throw new ProtocolError("Cannot read the enclave's answer: it is no JSON", {
      hint: "Is it an application of this library that answers there, and on that route?",
    });
  }
}

function tooLong(maxBytes: number): ProtocolError {
  return new ProtocolError(`Cannot read the enclave's answer: it has more than ${maxBytes} bytes`, {
    hint: "Raise maxAnswerBytes, or read the answer of `fetch` as it comes",
  });
}
