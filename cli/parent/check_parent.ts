import type { Deadline } from "../../lib/core/deadline.ts";
import { LaunchError } from "../../lib/core/errors.ts";
import { NitroCli } from "../../parent/nitro/nitro_cli.ts";
import { readParentState, type SeenParent } from "../../parent/runner/read_parent_state.ts";
import type { ParentSettings } from "../../parent/settings/setting_table.ts";

/** State that is asked for: `running` by nitro-cli's word, `ready` by the enclave's own. */
export type WantedState = "running" | "ready";

/**
 * Finds the parent that runs with these settings.
 *
 * @param stateFolder Its state folder
 * @param signal Ends the wait
 * @throws {LaunchError} When none runs there
 */
export async function findParent(stateFolder: string, signal: AbortSignal): Promise<SeenParent> {
  const parent = await readParentState(stateFolder, signal);
  if (parent !== undefined) return parent;
  throw new LaunchError("Cannot find the parent: none runs with this state folder", {
    hint: "Does STATE_FOLDER name the folder of a parent that runs?",
  });
}

/**
 * Tells whether a parent has its enclave in a state. One that has not launched it yet and has not failed, and one that is
 * ending, are no reason to give it up: they count as running, and not as ready. nitro-cli takes its time: before its word
 * counts against the enclave, the parent is looked at once more.
 *
 * @param parent State of the parent
 * @param wanted State to look for
 * @param options Settings of the parent, and the time for it
 * @returns One line about what was found
 * @throws {LaunchError} When the enclave is not in that state, with the failure that came last as the reason
 * @throws {TimeoutError} When nitro-cli does not answer in time
 */
export async function checkEnclave(
  parent: SeenParent,
  wanted: WantedState,
  { settings, deadline }: { readonly settings: CheckSettings; readonly deadline: Deadline },
): Promise<string> {
  const { isReady, stage } = parent;
  if (wanted === "ready") {
    if (isReady) return "the enclave is ready";
    throw notSo(parent, `it is not ready, and the parent is at the step ${stage}`);
  }
  let seen: SeenParent | undefined = parent;
  while (seen !== undefined && !isEnding(seen)) {
    const enclaveId: string | undefined = seen.enclaveId;
    if (enclaveId === undefined) return withoutEnclave(seen);
    if (settings.envSetup === "SIM") return `${enclaveId} runs`;
    const failure = await findFailure(seen, enclaveId, settings.nitroCli, deadline);
    if (failure === undefined) return `${enclaveId} is RUNNING`;
    const { stateFolder } = settings;
    if (deadline.signal.aborted || stateFolder === undefined) throw failure;
    // Has the parent ended it meanwhile, or launched another?
    const now: SeenParent | undefined = await readParentState(stateFolder, deadline.signal);
    if (now?.enclaveId === enclaveId && !isEnding(now)) throw failure;
    seen = now;
  }
  return seen === undefined ? "the parent has ended" : "the parent is ending";
}

/** Settings that a check needs. */
type CheckSettings = Pick<ParentSettings, "envSetup" | "nitroCli" | "stateFolder">;

function isEnding({ stage }: SeenParent): boolean {
  return stage === "drain" || stage === "ended";
}

function withoutEnclave(parent: SeenParent): string {
  if (parent.failureCount > 0) throw notSo(parent, "there is none");
  return `there is no enclave yet: the parent is at the step ${parent.stage}`;
}

/** Asks nitro-cli for what speaks against an enclave; undefined when it runs. */
async function findFailure(
  parent: SeenParent,
  id: string,
  nitroCli: string,
  deadline: Deadline,
): Promise<unknown> {
  const nitro = new NitroCli(nitroCli, Math.max(1, Math.floor(deadline.remainingMs)));
  try {
    const state = (await nitro.find(id, deadline.signal))?.state;
    if (state === "RUNNING") return undefined;
    return notSo(parent, state === undefined ? "nitro-cli does not list it" : `its state is ${state}`);
  } catch (error) {
    return error;
  }
}

function notSo({ lastFailure }: SeenParent, what: string): LaunchError {
  const { message, hint = "What does the parent's log say?" } = lastFailure ?? {};
  const last = message === undefined ? "" : `. The last failure: ${message}`;
  return new LaunchError(`Cannot find the enclave as it should be: ${what}${last}`, { hint });
}
