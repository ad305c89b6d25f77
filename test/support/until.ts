import { setTimeout as sleep } from "node:timers/promises";

/** A wait of so many pauses, about a minute, is explained once on the standard error. */
const LONG_WAIT = 300;

const FIRST_PAUSE_MS = 2;
/** A process that waits for what never happens is to look idle to the runner. */
const LAST_PAUSE_MS = 250;

/**
 * Waits for a condition that must become true, however busy the machine is. If it never does, the process
 * hangs, and the runner ends and names it.
 *
 * @param condition Asked with pauses that grow from 2 to 250 milliseconds
 * @param state Describes the state, for a reader of a failure
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  state: () => string = () => String(condition),
): Promise<void> {
  for (let pauses = 0; !await condition(); pauses++) {
    if (pauses === LONG_WAIT) console.error(`Still waiting: ${state()}`);
    await sleep(Math.min(FIRST_PAUSE_MS + pauses, LAST_PAUSE_MS));
  }
}
