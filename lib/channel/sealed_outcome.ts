/**
 * Answers to sealed requests, as far as the caller's side goes by them.
 *
 * @module
 */
import type { Deadline } from "../core/deadline.ts";
import { DATE_PROBLEM, STALE_KEY_PROBLEM } from "../wire/oblivious_http.ts";
import { readBounded } from "./clear_http.ts";

/** Statuses and types of answers, as whoever is on the way gave them. */
const PROBLEM_TYPE = "application/problem+json";
const MAX_PROBLEM_BYTES = 65_536;
/** Answer of the enclave, and its kind as far as this side goes by it. */
export type Outcome =
  | { readonly kind: "answer"; readonly response: Response }
  | { readonly kind: "stale key" }
  | { readonly kind: "wrong date"; readonly response: Response; readonly dateMs: number };

/**
 * Tells a refusal of the date, which the enclave sealed, so that the request was not served.
 *
 * @param response Answer of the enclave
 */
export async function judge(response: Response): Promise<Outcome> {
  const date = response.headers.get("date");
  if (response.status !== 400 || date === null || !isProblem(response)) return { kind: "answer", response };
  const dateMs = Date.parse(date);
  const isDate = await typeOf(response.clone()) === DATE_PROBLEM && !Number.isNaN(dateMs);
  return isDate ? { kind: "wrong date", response, dateMs } : { kind: "answer", response };
}

/**
 * Tells a refusal of the key. Anybody can say so: it costs a new document, and no trust.
 *
 * @param answer Answer in the clear
 * @param deadline Time budget
 */
export async function isStaleKey(answer: Response, deadline: Deadline): Promise<boolean> {
  if (answer.status !== 400 || !isProblem(answer)) {
    await answer.body?.cancel();
    return false;
  }
  const body = await readBounded(answer, MAX_PROBLEM_BYTES, deadline);
  return await typeOf(new Response(body)) === STALE_KEY_PROBLEM;
}

function isProblem({ headers }: Response): boolean {
  return headers.get("content-type") === PROBLEM_TYPE;
}

async function typeOf(problem: Response): Promise<unknown> {
  try {
    return (await problem.json() as { type?: unknown } | null)?.type;
  } catch {
    return undefined;
  }
}
