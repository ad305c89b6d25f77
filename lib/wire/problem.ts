import { isMatch, isPrintable } from "./peer_text.ts";

/** Media type of RFC 9457. */
export const PROBLEM_TYPE = "application/problem+json";

/** Part of a request that is wrong in form. */
export interface FieldProblem {
  /** Path of the part, such as `encryptionContext`. */
  readonly path: string;
  /** Expected value, in words. */
  readonly expected: string;
}

/**
 * Problem document of RFC 9457: a status and one of our codes, never the cause. `errors` is there for requests that are
 * wrong in form, with places and expectations but nothing of what was sent.
 */
export interface Problem {
  /** Type: `about:blank` says that the title is the status's. A registered type says more than the code. */
  readonly type: string;
  /** Status in words. */
  readonly title: string;
  /** HTTP status. */
  readonly status: number;
  /** One of our codes. */
  readonly code: string;
  /** Id of the request, as in the log. */
  readonly instance: string;
  /** Parts of the request that are wrong in form. */
  readonly errors?: readonly FieldProblem[];
}

const CODE = /^ERR_[A-Z0-9_]{1,64}$/;
const INSTANCE = /^urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Most parts of a request that one problem names. */
const MAX_ERRORS = 64;

/**
 * Reads a problem document, which may be another's in the enclave's place. Only known members are read, each checked;
 * others are passed over, as RFC 9457 (section 3.2) demands.
 *
 * @param parsed JSON value
 * @param status HTTP status of the answer, which the document must repeat
 * @returns A copy; `undefined` for what is no problem document of an enclave
 */
export function readProblem(parsed: unknown, status: number): Problem | undefined {
  if (!isObject(parsed)) return undefined;
  const { type, title, code, instance, errors } = parsed;
  if (parsed["status"] !== status || !isPrintable(type) || !isPrintable(title)) return undefined;
  if (!isMatch(code, CODE) || !isMatch(instance, INSTANCE)) return undefined;
  const base = { type, title, status, code, instance };
  if (errors === undefined) return base;
  const read = readErrors(errors);
  return read === undefined ? undefined : { ...base, errors: read };
}

function readErrors(errors: unknown): readonly FieldProblem[] | undefined {
  if (!Array.isArray(errors) || errors.length > MAX_ERRORS) return undefined;
  const read: FieldProblem[] = [];
  for (const error of errors) {
    if (!isObject(error) || !isPrintable(error["path"]) || !isPrintable(error["expected"])) return undefined;
    read.push({ path: error["path"], expected: error["expected"] });
  }
  return read;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
