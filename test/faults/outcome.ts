/**
 * Outcome of a call under a fault, as the table states it and as a test sees it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { inspect } from "node:util";
import * as api from "../../mod.ts";
import { revealBytes } from "../support/disguise.ts";

/** An error of the library: its class, its code, and what else of it is asserted. */
export interface Failure {
  readonly error: string;
  readonly code: string;
  /** Code and status of a `KmsError`. */
  readonly kms?: { readonly kmsCode: string; readonly httpStatus: number; readonly retryable: boolean };
  /** Stage of a `TimeoutError`. */
  readonly stage?: api.TimeoutStage;
}

/** Outcome that a call must have; a cell of the table. */
export type Outcome = "plaintext" | Failure | { readonly notAsked: string };

/** Outcome of a call, in a form that passes between processes. */
export type Seen = { readonly plaintext: readonly number[] } | SeenError;

/** An error with all that it shows. */
export interface SeenError {
  readonly error: string;
  /** Whether it is of the class of that name, and of the library's base class. */
  readonly isTyped: boolean;
  readonly code: string | undefined;
  readonly hint: string | undefined;
  readonly kms: Failure["kms"] | undefined;
  readonly stage: Failure["stage"] | undefined;
  /** All that a log would have. */
  readonly text: string;
}

/**
 * Describes an error.
 *
 * @param error The error, of any type
 */
export function describeError(error: unknown): SeenError {
  const name = error instanceof Error ? error.name : typeof error;
  const Class: unknown = (api as Readonly<Record<string, unknown>>)[name];
  const isTyped = typeof Class === "function" && error instanceof Class &&
    error instanceof api.EnclaveKmsError;
  const { code, hint } = error instanceof api.EnclaveKmsError ? error : {};
  const kms = error instanceof api.KmsError
    ? { kmsCode: error.kmsCode, httpStatus: error.httpStatus, retryable: error.retryable }
    : undefined;
  const stage = error instanceof api.TimeoutError ? error.stage : undefined;
  return { error: name, isTyped, code, hint, kms, stage, text: inspect(error, { depth: 8 }) };
}

/**
 * Asserts that a call had the outcome of the table, and that its text shows no secret.
 *
 * @param seen Outcome of the call
 * @param expected The cell
 * @param secrets Secrets that must not be shown; the first is the plaintext
 */
export function assertOutcome(seen: Seen, expected: Outcome, secrets: readonly Uint8Array[]): void {
  const [plaintext = new Uint8Array()] = secrets;
  if ("plaintext" in seen) {
    assert.equal("plaintext", expected, `decrypted instead of ${inspect(expected)}`);
    assert.deepEqual(revealBytes(seen.plaintext), plaintext);
    return;
  }
  const { error, code, kms, stage, isTyped, hint, text } = seen;
  assert.deepEqual({ error, code, ...(kms && { kms }), ...(stage && { stage }) }, expected, text);
  assert.ok(isTyped, `${error} is not a class of the library`);
  assert.ok(hint !== undefined && hint !== "", "no hint");
  for (const secret of secrets) {
    assert.ok(!text.includes(new TextDecoder().decode(secret)), "the error shows a secret");
  }
}

/** Tells whether a call with this outcome must wait for its deadline. */
export function isTimeout(outcome: Outcome): boolean {
  return typeof outcome === "object" && "code" in outcome && outcome.code === "ERR_TIMEOUT";
}

/** Describes a cell in words, with the stage of a time-out. */
export function nameOutcome(outcome: Outcome): string {
  const stage = typeof outcome === "object" && "stage" in outcome ? `, stage ${outcome.stage}` : "";
  return nameCode(outcome) + stage;
}

/** Describes a cell in words, without the stage: the runs of the real C client have codes only. */
export function nameCode(outcome: Outcome): string {
  if (outcome === "plaintext") return outcome;
  if ("notAsked" in outcome) return `not asked: ${outcome.notAsked}`;
  const { code, kms } = outcome;
  if (kms === undefined) return code;
  return `${code} ${kms.kmsCode}, ${kms.httpStatus}${kms.retryable ? ", retryable" : ""}`;
}
