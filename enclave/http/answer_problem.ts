import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { HttpEnv } from "./http_env.ts";
import { type Problem, problem, PROBLEM_TYPE, problemOf } from "./problem.ts";

/** Seconds after which a caller may try again, unless the request's record says more. */
const RETRY_AFTER_SECONDS = 1;

/** Codes for what Hono refuses by itself, by HTTP status. Unlisted statuses map to `ERR_BAD_REQUEST`. */
const CODES: Readonly<Record<number, string>> = { 413: "ERR_BODY_TOO_LARGE" };

/**
 * Translates a failure into a problem for the caller.
 *
 * @param error Thrown by a handler, or by Hono
 * @param id Id of the request
 */
export function toProblem(error: unknown, id: string): Problem {
  if (!(error instanceof HTTPException)) return problemOf(error, id);
  // With 400 Hono refuses one thing only: a body that its parser cannot read.
  const errors = error.status === 400 ? [{ path: "", expected: "JSON" }] : undefined;
  return problem(error.status, CODES[error.status] ?? "ERR_BAD_REQUEST", id, errors);
}

/**
 * Answers with a problem.
 *
 * @param c Context of the request
 * @param answer Problem to answer with
 */
export function answerProblem(c: Context<HttpEnv>, answer: Problem): Response {
  if (answer.status === 503) {
    c.header("retry-after", String(c.var.record.retryAfterSeconds ?? RETRY_AFTER_SECONDS));
  }
  c.header("content-type", PROBLEM_TYPE);
  return c.body(JSON.stringify(answer), answer.status as ContentfulStatusCode);
}
