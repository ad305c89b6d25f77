/**
 * Names of what the policy is asked about and of what is counted. The lists are joined here from those of KMS's
 * operations, of this base's own routes and of an application, and handed to the policy and the metrics as data.
 *
 * @module
 */
import { checkActions } from "../lib/policy/actions.ts";
import { KMS_ACTIONS, type KmsAction } from "../lib/kms/operations/operations.ts";

/**
 * Actions that set credentials. `SetCredentials` sets the credentials of everybody who comes over HTTP,
 * `SetOwnCredentials` those of the caller's own kmstool connection and nobody else's.
 */
export const CREDENTIAL_ACTIONS = ["SetCredentials", "SetOwnCredentials"] as const;

/** Actions of the built-in routes and of `KmsService`. */
export const BUILT_IN_ACTIONS = ["GetAttestation", "SignData", "HashData", ...CREDENTIAL_ACTIONS] as const;

/** Built-in routes that the policy is not asked about. */
const OPEN_OPERATIONS = [
  "Health",
  "Ready",
  "Metrics",
  "Info",
  "OpenApi",
  "Sealed",
  "Secret",
  "Shutdown",
] as const;

/** Name of a built-in action. */
export type BuiltInAction = typeof BUILT_IN_ACTIONS[number];

/** Action that sets credentials: everybody's, or those of the caller's own connection. */
export type CredentialAction = typeof CREDENTIAL_ACTIONS[number];

/** Name of what a built-in route or message asks for. `Other` stands for what none of them asks for. */
export type Operation = KmsAction | BuiltInAction | typeof OPEN_OPERATIONS[number] | "Other";

/** Actions that the decrypt server asks its policy about. */
export const SERVER_ACTIONS: readonly string[] = joinActions();

/**
 * Joins the actions of KMS's operations, of the built-in routes and of an application.
 *
 * @param own Actions of the application
 * @returns All of them: what a policy is loaded for
 * @throws {TypeError} When a name of the application is not a word, or is there twice
 * @throws {RangeError} When there are more than 128 actions
 */
export function joinActions(own: readonly string[] = []): readonly string[] {
  return checkActions([...KMS_ACTIONS, ...BUILT_IN_ACTIONS, ...own]);
}

/**
 * Names all that is counted apart from the rest: the actions, and the routes that the policy is not asked about.
 *
 * @param actions Actions from {@link joinActions}
 * @returns The names, without `Other`
 */
export function joinOperations(actions: readonly string[] = SERVER_ACTIONS): readonly string[] {
  return [...actions, ...OPEN_OPERATIONS];
}
