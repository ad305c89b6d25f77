import { checkInteger } from "./checks.ts";
import { MAX_TIMEOUT_MS } from "./deadline.ts";

/** Options of every call, beside its request. */
export interface CallOptions {
  /** Signal that ends the call early; the promise rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for the call, retries included; 1 to 2147483647. Default: the client's. */
  readonly timeoutMs?: number | undefined;
}

/** Names of all {@link CallOptions}. */
export const CALL_FIELDS: readonly string[] = ["signal", "timeoutMs"];

/**
 * Checks the options of a call.
 *
 * @param call The options
 * @param defaultTimeoutMs Default of the time-out, in milliseconds
 * @throws {TypeError} When the signal is no AbortSignal, or the time-out no number
 * @throws {RangeError} When the time-out is out of range
 */
export function checkCall(
  call: CallOptions,
  defaultTimeoutMs: number,
): { signal: AbortSignal | undefined; timeoutMs: number } {
  const { signal } = call;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError("signal must be an AbortSignal");
  }
  return { signal, timeoutMs: checkTimeout(call.timeoutMs, defaultTimeoutMs) };
}

/**
 * Checks a time-out.
 *
 * @param timeoutMs Milliseconds, or undefined for the default
 * @param defaultTimeoutMs Default, in milliseconds
 */
export function checkTimeout(timeoutMs: unknown, defaultTimeoutMs: number): number {
  return checkInteger("timeoutMs", timeoutMs, { min: 1, max: MAX_TIMEOUT_MS, default: defaultTimeoutMs });
}
