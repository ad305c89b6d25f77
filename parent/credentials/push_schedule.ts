/** Longest time until the source is asked again, in milliseconds: AWS has new credentials about every hour. */
const MAX_WAIT_MS = 3_600_000;

/** Time until the source is asked again when its credentials have no expiration, in milliseconds. */
const UNKNOWN_WAIT_MS = 900_000;

/** Part of the advance by which a push comes earlier at random, so that many instances do not ask at once. */
const JITTER = 0.1;

/**
 * Computes when the source is asked for the successors of credentials.
 *
 * Credentials that last less than twice the advance are asked for again at half of their time: otherwise they would be
 * asked for at once, again and again.
 *
 * @param leftMs Milliseconds until they expire, below zero past it; undefined when they do not say
 * @param aheadMs Milliseconds before their expiration
 * @param random Number from 0 to below 1
 * @returns Milliseconds from now; 0 for credentials that have expired
 */
export function waitForSuccessors(
  leftMs: number | undefined,
  aheadMs: number,
  random: number = Math.random(),
): number {
  if (leftMs === undefined) return UNKNOWN_WAIT_MS * (1 - JITTER * random);
  const advanceMs = Math.min(aheadMs, leftMs / 2);
  return Math.min(MAX_WAIT_MS, Math.max(0, leftMs - advanceMs * (1 + JITTER * random)));
}
