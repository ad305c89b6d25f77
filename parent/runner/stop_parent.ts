import { Deadline, MAX_TIMEOUT_MS } from "../../lib/core/deadline.ts";
import { checkFields, checkInteger, checkText } from "../../lib/core/checks.ts";
import { ConnectionError, LaunchError } from "../../lib/core/errors.ts";
import { createFetch, type Fetch } from "../../lib/transport/create_fetch.ts";
import { parentSocket } from "./status_server.ts";

/** Parent to stop. */
export interface StopParentOptions {
  /** State folder of it. */
  readonly stateFolder: string;
  /** Milliseconds until it has ended, 1 to 2147483647. Default: 90000. */
  readonly timeoutMs?: number | undefined;
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined;
}

/** Pause between two looks at whether it has ended. */
const LOOK_MS = 100;

/**
 * Ends a parent that runs, and with it its enclave, in good order; waits until it has ended.
 *
 * @param options State folder and time
 * @returns Whether there was one
 * @throws {LaunchError} When it does not take the request
 * @throws {TimeoutError} When it has not ended in time
 */
export async function stopParent(options: StopParentOptions): Promise<boolean> {
  const given = checkFields("stop options", options, ["stateFolder", "timeoutMs", "signal"]);
  const fetch = createFetch(parentSocket(checkText("stateFolder", given.stateFolder, 90)), {
    connectTimeoutMs: 5000,
  });
  const timeoutMs = checkInteger("timeoutMs", given.timeoutMs, {
    min: 1,
    max: MAX_TIMEOUT_MS,
    default: 90_000,
  });
  using deadline = new Deadline("stop the parent", timeoutMs, given.signal);
  const status = await ask(fetch, "POST", "/v1/stop", deadline);
  if (status === undefined) return false;
  if (status !== 202) {
    throw new LaunchError(`Cannot stop the parent: it answers ${status}`, {
      hint: "Is the state folder that of a parent of this version?",
    });
  }
  while (await ask(fetch, "GET", "/healthz", deadline) !== undefined) await deadline.sleep(LOOK_MS);
  return true;
}

/** Asks; undefined when nobody listens. */
async function ask(
  fetch: Fetch,
  method: string,
  path: string,
  deadline: Deadline,
): Promise<number | undefined> {
  try {
    const answer = await fetch(`http://parent${path}`, { method, signal: deadline.signal });
    await answer.body?.cancel();
    return answer.status;
  } catch (error) {
    if (error instanceof ConnectionError) return undefined;
    throw error;
  }
}
