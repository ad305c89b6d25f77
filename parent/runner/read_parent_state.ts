import { createFetch } from "../../lib/transport/create_fetch.ts";
import { ConnectionError, LaunchError } from "../../lib/core/errors.ts";
import { PARENT_STAGES, type ParentStage } from "./parent_state.ts";
import { parentSocket } from "./status_server.ts";

/** Part of a parent's state that another process needs to judge it. */
export interface SeenParent {
  /** Step that it is at. */
  readonly stage: ParentStage;
  /** Whether its enclave is ready. */
  readonly isReady: boolean;
  /** Starts and runs that failed. */
  readonly failureCount: number;
  /** Id of its enclave; undefined when it has none. */
  readonly enclaveId: string | undefined;
  /** Failure that came last, and the hint to it. */
  readonly lastFailure: { readonly message: string; readonly hint: string } | undefined;
}

/**
 * Asks a running parent for its state, over the socket in its state folder.
 *
 * @param stateFolder The folder
 * @param signal Ends the wait
 * @returns undefined when no parent runs there
 * @throws {LaunchError} When its answer is no state
 */
export async function readParentState(
  stateFolder: string,
  signal: AbortSignal,
): Promise<SeenParent | undefined> {
  const fetch = createFetch(parentSocket(stateFolder), { connectTimeoutMs: 5000 });
  try {
    return seen(await (await fetch("http://parent/readyz", { signal })).json());
  } catch (error) {
    if (error instanceof ConnectionError) return undefined;
    if (error instanceof SyntaxError) throw noState(error);
    throw error;
  }
}

function seen(answer: unknown): SeenParent {
  const { stage, isReady, failureCount, enclave, lastFailure } = fieldsOf(answer);
  const known = PARENT_STAGES.find((one) => one === stage);
  if (known === undefined || typeof isReady !== "boolean" || typeof failureCount !== "number") {
    throw noState();
  }
  const { id } = fieldsOf(enclave ?? {});
  const { message, hint } = fieldsOf(lastFailure ?? {});
  return {
    stage: known,
    isReady,
    failureCount,
    enclaveId: typeof id === "string" ? id : undefined,
    lastFailure: typeof message === "string" && typeof hint === "string" ? { message, hint } : undefined,
  };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null) return value as Readonly<Record<string, unknown>>;
  throw noState();
}

function noState(cause?: unknown): LaunchError {
  return new LaunchError("Cannot read the state of the parent: its answer is none", {
    hint: "Is the state folder that of a parent of this version?",
    cause,
  });
}
