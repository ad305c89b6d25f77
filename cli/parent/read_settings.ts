import {
  PARENT_CONFIG_VARIABLE,
  parentVariables,
  readParentSettings,
} from "../../parent/settings/parent_settings.ts";
import type { ParentSettings } from "../../parent/settings/setting_table.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usage_error.ts";

/**
 * Reads the parent's settings from a file and the environment.
 *
 * @param file Path of the file; undefined for the one that the environment names, or none
 * @param terminal Has the environment
 * @throws {UsageError} With everything that is wrong
 */
export function readSettings(file: string | undefined, terminal: Terminal): ParentSettings {
  const names = [PARENT_CONFIG_VARIABLE, ...parentVariables().map(([, variable]) => variable)];
  const env = Object.fromEntries(names.map((name) => [name, terminal.env(name)]));
  try {
    return readParentSettings(env, file);
  } catch (error) {
    throw error instanceof TypeError ? new UsageError(error.message) : error;
  }
}
