import type { ParentSettings } from "../settings/setting_table.ts";
import type { SupervisorTimes } from "./supervisor.ts";

/**
 * Makes the times of a supervisor.
 *
 * @param settings Settings of the parent
 */
export function timesOf({ readinessSeconds }: ParentSettings): SupervisorTimes {
  return {
    readinessMs: readinessSeconds * 1000,
    intervalMs: 1000,
    unreachableMs: 60_000,
    graceMs: 30_000,
    firstPauseMs: 1000,
    maxPauseMs: 60_000,
  };
}
