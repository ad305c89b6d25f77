import { checkFields, checkInteger } from "../core/checks.ts";
import { type FieldProblem, readProblem } from "../wire/problem.ts";

export type { FieldProblem } from "../wire/problem.ts";

/** Response that {@link narrow} reads: one of Hono's typed client, or of any `fetch`. */
export interface ReadableResponse {
  /** Whether the status is from 200 to 299. */
  readonly ok: boolean;
  /** HTTP status. */
  readonly status: number;
  /** Header fields. */
  readonly headers: Headers;
  /** Body, not read yet. */
  readonly body: ReadableStream | null;
  /** Reads the body as JSON. Its type is the answer's; it is not called. */
  json(): Promise<unknown>;
  /** Reads the body as text. Its type is the answer's, where there is no JSON; it is not called. */
  text(): Promise<string>;
}

/**
 * Code of a problem that the client finds itself, in the place of an answer that it cannot read:
 *
 * - `ERR_ANSWER_FORM`: a failure that is no problem document of the enclave, or a success that is neither JSON nor text.
 *   Something may answer in the enclave's place.
 * - `ERR_ANSWER_OVER_LIMIT`: an answer of more than `maxBytes`; the rest of it is not read.
 */
export type AnswerProblemCode = "ERR_ANSWER_FORM" | "ERR_ANSWER_OVER_LIMIT";

/** Problem instead of an answer. */
export interface ClientProblem {
  /** One of the enclave's codes, such as `ERR_POLICY_DENIED`, or one of {@link AnswerProblemCode}. */
  readonly code: string;
  /** HTTP status. */
  readonly status: number;
  /** Id of the request in the enclave's log: `urn:uuid:` and a UUID. Unset when the client found the problem. */
  readonly instance?: string | undefined;
  /** Parts of the request that are wrong in form; mostly none. */
  readonly errors: readonly FieldProblem[];
  /** Seconds after which the request may be tried again, where the answer says so; 0 to 86400. */
  readonly retryAfterSeconds?: number | undefined;
}

/** Answer that is there. `answer` is undefined for an answer without a body. */
export interface Answered<Status, Answer> {
  /** The request succeeded. */
  readonly ok: true;
  /** HTTP status. */
  readonly status: Status;
  /** JSON value or text. Its type is what the route says: it is not checked. */
  readonly answer: Answer;
}

/** Answer that is a problem. */
export interface Refused<Answer = unknown> {
  /** The request failed. */
  readonly ok: false;
  /** HTTP status. */
  readonly status: number;
  /** Problem that the answer holds. */
  readonly problem: ClientProblem;
  /**
   * JSON value of a failure that is no problem document, such as what `/readyz` answers with 503; the problem is then
   * `ERR_ANSWER_FORM`. Its type is what the route says: it is not checked.
   */
  readonly answer?: Answer | undefined;
}

/** Result of {@link narrow}: `ok` tells which one, and TypeScript then knows the type of the answer. */
export type Narrowed<Response> = AnsweredBy<Response> | Refused<FailedBy<Response>>;

type AnsweredBy<Response> = Response extends
  { ok: infer Ok; status: infer Status; json(): Promise<infer Json>; text(): Promise<infer Text> }
  ? Ok extends false ? never
  : Answered<
    Success<Status>,
    Status extends 204 | 205 ? undefined : [Json] extends [never] ? Text : Known<Json>
  >
  : never;

type FailedBy<Response> = Response extends { ok: infer Ok; json(): Promise<infer Json> }
  ? Ok extends true ? never : Known<Json>
  : never;

type Success<Status> = Status extends number
  ? number extends Status ? number : `${Status}` extends `2${string}` ? Status : never
  : never;

/** Type of what `fetch` reads, which is `any`, as `unknown`. */
type Known<Json> = 0 extends 1 & Json ? unknown : Json;

/** Limits of {@link narrow}. */
export interface NarrowOptions {
  /** Longest answer in bytes, 1 to 2147483647. Default: 1048576. */
  readonly maxBytes?: number | undefined;
}

const DEFAULT_MAX_BYTES = 1_048_576;
const MAX_BYTES = 2 ** 31 - 1;

/** Longest problem document in bytes: one is short, whatever answers are. */
const MAX_PROBLEM_BYTES = 65_536;

const MAX_RETRY_AFTER_SECONDS = 86_400;

/**
 * Reads an answer, so that `ok` tells its type: what the route answers, or a problem.
 *
 * It takes what a call of Hono's typed client returns, over any `fetch`: that of `enclave-kms/vsock`, the runtime's own,
 * or a sealed channel's. A failure is read by an allow-list, and what is no problem document of an enclave becomes a
 * problem of its own. A success is parsed, not checked: whoever answers in the clear is the parent. Secrets in it become
 * JavaScript strings, which cannot be wiped.
 *
 * @param response Response, or the promise of one
 * @param options Limits
 * @returns `{ ok: true, status, answer }` or `{ ok: false, status, problem }`
 * @throws {TypeError} When an option is unknown or of a wrong type
 * @throws {RangeError} When `maxBytes` is out of range
 * @throws The error of the call itself, such as that of a broken connection
 *
 * @example
 * ```ts
 * import { hc } from "hono/client";
 * import { narrow } from "enclave-kms/channel";
 * import type { AppType } from "enclave-kms/server";
 * import { createFetch } from "enclave-kms/vsock";
 *
 * const fetch = createFetch({ transport: "vsock", cid: 16, port: 8080 });
 * const { v1 } = hc<AppType>("http://enclave", { fetch });
 *
 * async function decrypt(ciphertext: string): Promise<string | undefined> {
 *   const result = await narrow(v1.decrypt.$post({ json: { ciphertext } }));
 *   if (!result.ok) throw new Error(`The enclave refused: ${result.problem.code}`);
 *   return result.answer?.plaintext; // undefined after a dry run
 * }
 * ```
 */
export async function narrow<Response extends ReadableResponse>(
  response: Response | Promise<Response>,
  options: NarrowOptions = {},
): Promise<Narrowed<Response>> {
  const { maxBytes } = checkFields("narrow options", options, ["maxBytes"]);
  const max = checkInteger("maxBytes", maxBytes, { min: 1, max: MAX_BYTES, default: DEFAULT_MAX_BYTES });
  const answer = await response;
  return await (answer.ok ? readAnswer(answer, max) : readRefusal(answer)) as Narrowed<Response>;
}

async function readAnswer(
  response: ReadableResponse,
  max: number,
): Promise<Answered<number, unknown> | Refused> {
  const { status } = response;
  const text = await readText(response, max);
  if (text === undefined) return refused(response, "ERR_ANSWER_OVER_LIMIT");
  if (status === 204 || status === 205) return { ok: true, status, answer: undefined };
  const type = mediaType(response);
  if (type.startsWith("text/")) return { ok: true, status, answer: text };
  const parsed = isJson(type) ? parse(text) : undefined;
  return parsed === undefined ? refused(response, "ERR_ANSWER_FORM") : { ok: true, status, answer: parsed };
}

async function readRefusal(response: ReadableResponse): Promise<Refused> {
  const { status } = response;
  const text = await readText(response, MAX_PROBLEM_BYTES);
  if (text === undefined) return refused(response, "ERR_ANSWER_OVER_LIMIT");
  const answer = isJson(mediaType(response)) ? parse(text) : undefined;
  const problem = readProblem(answer, status);
  if (problem === undefined) return { ...refused(response, "ERR_ANSWER_FORM"), answer };
  const { code, instance, errors = [] } = problem;
  return { ok: false, status, problem: { code, status, instance, errors, ...retryAfter(response) } };
}

function refused(response: ReadableResponse, code: AnswerProblemCode): Refused {
  const { status } = response;
  return { ok: false, status, problem: { code, status, errors: [], ...retryAfter(response) } };
}

function retryAfter({ ok, headers }: ReadableResponse): { readonly retryAfterSeconds?: number } {
  const seconds = headers.get("retry-after") ?? "";
  if (ok || !/^\d{1,5}$/.test(seconds)) return {};
  return { retryAfterSeconds: Math.min(MAX_RETRY_AFTER_SECONDS, Number(seconds)) };
}

function mediaType({ headers }: ReadableResponse): string {
  return (headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

function isJson(type: string): boolean {
  return type === "application/json" || /^application\/[\w.-]{1,64}\+json$/.test(type);
}

/** Parses JSON; what is none is undefined, which no JSON text is. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Reads a body of UTF-8, unless it is longer than the limit. */
async function readText({ body }: ReadableResponse, max: number): Promise<string | undefined> {
  if (body === null) return "";
  const decoder = new TextDecoder();
  const reader = body.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  let length = 0;
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    length += value.length;
    if (length > max) {
      await reader.cancel();
      return undefined;
    }
    text += decoder.decode(value, { stream: true });
  }
}
