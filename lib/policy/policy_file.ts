import { readFileSync, type Stats, statSync } from "node:fs";
import { checkFields } from "../core/checks.ts";
import { PolicyLoadError } from "../core/errors.ts";
import { checkActions } from "./actions.ts";
import { CEDAR_LIMITS, type CedarOptions, cedarPolicy } from "./cedar/cedar_policy.ts";
import type { PolicyFacts } from "./facts.ts";
import { decideSafely, denyAll, messageOf, type Policy, type PolicyDecision } from "./policy.ts";
import { MAX_MODULE_BYTES, PLUGIN_LIMITS, type WasmOptions, wasmPolicy } from "./plugin/wasm_policy.ts";

/** Options of {@link loadPolicyFile}. */
export interface PolicyFileOptions {
  /** Actions that the host asks about. */
  readonly actions: readonly string[];
  /** Options of a Cedar policy; its name is the file's. */
  readonly cedar?: Omit<CedarOptions, "name" | "actions"> | undefined;
  /** Options of a plug-in; its name is the file's. */
  readonly plugin?: Omit<WasmOptions, "name" | "actions"> | undefined;
}

/**
 * Loads a policy from a file: a Cedar policy from `.cedar`, a plug-in from `.wasm`.
 *
 * @param path Path of the file
 * @param options The actions and the limits
 * @returns The policy, under the file's name
 * @throws {TypeError} When an option is missing, unknown or of a wrong type
 * @throws {RangeError} When a limit or the number of actions is out of range
 * @throws {PolicyLoadError} When the file cannot be read, is of another kind, or holds no usable policy
 */
export function loadPolicyFile(path: string, options: PolicyFileOptions): Policy {
  if (typeof path !== "string") throw new TypeError("The path of a policy must be a string");
  const { cedar = {}, plugin = {}, ...given } = checkFields("policy file options", options, [
    "actions",
    "cedar",
    "plugin",
  ]);
  // Checks both, whichever the file needs, and before they are spread: a spread Map would leave nothing.
  const cedarOptions = checkFields("Cedar options", cedar, CEDAR_LIMITS);
  const pluginOptions = checkFields("plug-in options", plugin, PLUGIN_LIMITS);
  const actions = checkActions(given.actions);
  const name = path.replace(/^.*[/\\]/, "");
  if (name.endsWith(".cedar")) {
    const text = readText(path);
    return naming(name, () => cedarPolicy(text, { ...cedarOptions, actions, name }));
  }
  if (name.endsWith(".wasm")) {
    const bytes = readBytes(path);
    return naming(name, () => wasmPolicy(bytes, { ...pluginOptions, actions, name }));
  }
  throw fileError(path, "its name ends neither in .cedar nor in .wasm", "Is it the policy's path?");
}

/** Adds the file's name to an error, which has the place in the file already. */
function naming(name: string, load: () => Policy): Policy {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof PolicyLoadError)) throw error;
    const { hint, line, column, policyId, cause } = error;
    const message = error.message.replace(/^(Cannot load the [\w-]+):/, `$1 ${name}:`);
    throw new PolicyLoadError(message, { hint, line, column, policyId, cause });
  }
}

/** Result of an attempt to replace a policy. */
export type Replacement =
  | { readonly replaced: true; readonly name: string }
  | { readonly replaced: false; readonly name: string; readonly error: Error };

/**
 * Policy that can be replaced while requests are judged. Each request is judged by one policy, the old or the new one.
 *
 * @example
 * ```ts
 * import { cedarPolicy, PolicyHolder } from "enclave-kms/policy";
 *
 * const holder = new PolicyHolder();
 * holder.name; // "deny-all"
 * const load = (text: string) => () => cedarPolicy(text, { actions: ["Decrypt"] });
 * holder.replace(load("permit(principal, action, resource);")).replaced; // true
 * holder.replace(load("pemit(principal, action, resource);")).replaced; // false
 * holder.name; // "cedar"
 * ```
 */
export class PolicyHolder implements Policy {
  #current: Policy;
  #revision = 0;

  /**
   * Holds a first policy.
   *
   * @param initial First policy. Default: {@link denyAll}
   * @throws {TypeError} When it is no policy
   */
  constructor(initial: Policy = denyAll) {
    if (typeof initial?.decide !== "function") throw new TypeError("A policy must have a name and decide()");
    this.#current = initial;
  }

  /** Name of the policy in force. */
  get name(): string {
    return this.#current.name;
  }

  /** Whether there is a policy other than {@link denyAll}. */
  get isLoaded(): boolean {
    return this.#current !== denyAll;
  }

  /** Number of times that the policy was replaced. */
  get revision(): number {
    return this.#revision;
  }

  /** Decides as {@link Policy.decide} does. Never throws: a throw of the policy is a denial. */
  decide(facts: PolicyFacts): PolicyDecision {
    return decideSafely(this.#current, facts);
  }

  /**
   * Replaces the policy in force, if the new one loads.
   *
   * @param load Loads and checks it, as {@link loadPolicyFile} does; a throw keeps the old one in force
   * @returns The policy in force now, and the reason if it is the old one. Never throws
   */
  replace(load: () => Policy): Replacement {
    try {
      const next = load();
      if (typeof next?.decide !== "function") throw new TypeError("A policy must have a name and decide()");
      this.#current = next;
      this.#revision++;
      return { replaced: true, name: this.name };
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(messageOf(thrown));
      return { replaced: false, name: this.name, error };
    }
  }
}

function readText(path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(readBytes(path));
  } catch (cause) {
    if (cause instanceof PolicyLoadError) throw cause;
    throw fileError(path, "it is not UTF-8", "Is it saved as UTF-8?", cause);
  }
}

function readBytes(path: string): Uint8Array {
  const { size } = statFile(path);
  // Both kinds have caps of their own; this one saves memory.
  if (size > MAX_MODULE_BYTES) {
    throw fileError(path, `the file has more than ${MAX_MODULE_BYTES} bytes`, "Is it the right file?");
  }
  return withReason(path, () => readFileSync(path));
}

/** Checks that a path is a regular file: reading a pipe would block the server until somebody writes. */
function statFile(path: string): Stats {
  const stats = withReason(path, () => statSync(path));
  if (stats.isFile()) return stats;
  throw fileError(path, "it is not a regular file", "Is it a folder, or a pipe?");
}

function withReason<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unreadable";
    throw fileError(path, `the file cannot be read (${code})`, READ_HINTS[code] ?? NOT_CAPABLE, cause);
  }
}

const READ_HINTS: Readonly<Record<string, string>> = {
  ENOENT: "Nothing is there: is the path right, seen from this process?",
  EACCES: "This process may not read it: do the file and its folders allow its user?",
  EPERM: "This process may not read it: do the file and its folders allow its user?",
  ERR_ACCESS_DENIED: "Node.js runs with --permission: it needs --allow-fs-read for this file",
};
const NOT_CAPABLE = "May this process read it? On Deno that is --allow-read with this path";

function fileError(path: string, problem: string, hint: string, cause?: unknown): PolicyLoadError {
  return new PolicyLoadError(`Cannot load the policy ${path}: ${problem}`, { hint, cause });
}
