import type { Deadline } from "../../core/deadline.ts";
import { ConnectionError, KmsError, TimeoutError } from "../../core/errors.ts";
import { StaleConnectionError, UnreachableError } from "./connection_errors.ts";

/** The first wait is at most this long, in milliseconds; each next one at most twice as long. */
export const BASE_DELAY_MS = 50;

/** No wait is longer, in milliseconds. */
export const MAX_DELAY_MS = 1000;

/**
 * Tries again, after a random wait ("full jitter"), as long as that can help: when KMS throttles or fails
 * on its side, and when the connection cannot be made or breaks. Nothing else is tried again: not a
 * certificate that is refused, an answer that KMS would not give, another refusal, or an abort.
 *
 * As long as no connection comes about, nothing is sent, and these tries do not count: they go on until the deadline,
 * which a proxy that restarts needs. A connection that was kept and turns out to be closed is replaced at once, which
 * counts: KMS may have seen the request. All operations may be sent twice: what a first answer that was lost held,
 * nobody has seen.
 *
 * @param attempt Work to do; it keeps the deadline itself
 * @param maxAttempts Most times that a request is sent; 1 for no second try of any kind
 * @param deadline When to give up. If the wait would outlast it, the failure itself is reported; so is the last
 *   one if the time is up while the next connection is waited for or tried
 * @param random From 0 to below 1
 * @returns The result of the first attempt that succeeds
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  maxAttempts: number,
  deadline: Deadline,
  random: () => number = Math.random,
): Promise<T> {
  let absence: UnreachableError | undefined;
  let delayMs = 0;
  for (let failures = 1, sent = 0;; failures++) {
    try {
      if (failures > 1) await deadline.sleep(delayMs);
      return await attempt();
    } catch (error) {
      if (absence !== undefined && isTimeUp(error, deadline)) throw absence;
      absence = error instanceof UnreachableError ? error : undefined;
      if (maxAttempts === 1 || absence === undefined) sent++;
      const isStale = error instanceof StaleConnectionError;
      delayMs = isStale ? 0 : random() * Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** (failures - 1));
      if (sent >= maxAttempts || !canRetryHelp(error) || delayMs >= deadline.remainingMs) throw error;
    }
  }
}

/** Not so if the caller aborted. */
function isTimeUp(error: unknown, { signal }: Deadline): boolean {
  return error instanceof TimeoutError && error === signal.reason;
}

function canRetryHelp(error: unknown): boolean {
  return error instanceof ConnectionError || (error instanceof KmsError && error.retryable);
}
