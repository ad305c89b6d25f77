import { setTimeout as sleep } from "node:timers/promises";

/** A wait that is this long, in milliseconds, is explained once on the standard error. */
const LONG_MS = 60_000;

const PAUSE_MS = 2;

/**
 * Waits for something that has to happen, however busy the machine is: what never happens is a process that hangs,
 * which the runner ends and names.
 *
 * @param condition Asked every few milliseconds
 * @param state How it stands, for whoever looks into why it does not happen
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  state: () => string = () => String(condition),
): Promise<void> {
  for (let pauses = 1; !await condition(); pauses++) {
    if (pauses === LONG_MS / PAUSE_MS) console.error(`Still waiting: ${state()}`);
    await sleep(PAUSE_MS);
  }
}
