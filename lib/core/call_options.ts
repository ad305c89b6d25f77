import { checkInteger } from "./checks.ts";
import { MAX_TIMEOUT_MS } from "./deadline.ts";

/** What every call may be given besides its request. */
export interface CallOptions {
  /** Ends the call early; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for the call, retries included; 1 to 2147483647. Default: the client's. */
  readonly timeoutMs?: number | undefined;
}

/** The fields that say how long to wait. */
export const CALL_FIELDS: readonly string[] = ["signal", "timeoutMs"];

/**
 * @param call How the caller wants to wait
 * @param defaultTimeoutMs In milliseconds
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
 * @param timeoutMs In milliseconds, or undefined for the default
 * @param defaultTimeoutMs In milliseconds
 */
export function checkTimeout(timeoutMs: unknown, defaultTimeoutMs: number): number {
  return checkInteger("timeoutMs", timeoutMs, { min: 1, max: MAX_TIMEOUT_MS, default: defaultTimeoutMs });
}
