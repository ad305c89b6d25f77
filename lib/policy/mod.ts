/**
 * Policies, which must permit a request before it goes to KMS.
 *
 * {@link makeFacts} builds the facts that are judged; {@link cedarPolicy} and {@link wasmPolicy} load a policy, for the
 * actions that its host asks about. The entry is apart from the main one, whose users need not load Cedar's 4 MB.
 *
 * The room knows no action by name, and imports lib/core alone. Begin with facts.ts and policy.ts; cedar/ and plugin/
 * have the two kinds of policies, and wasm/ the reader and meter of the modules that both run in.
 *
 * @module
 */
export { type CedarOptions, cedarPolicy } from "./cedar/cedar_policy.ts";
export type { Attributes, AttributeType, AttributeTypes, AttributeValue } from "./attributes.ts";
export {
  type CallerPrincipal,
  type CertificatePrincipal,
  type ParentPrincipal,
  type Principal,
  principalId,
  type PrincipalType,
  type TokenPrincipal,
} from "./principal.ts";
export {
  type Caller,
  type FactParts,
  type JudgedPrincipal,
  type KnownCaller,
  makeFacts,
  MAX_FACTS_BYTES,
  type PolicyFacts,
  serialisedFacts,
} from "./facts.ts";
export { MAX_ACTIONS } from "./actions.ts";
export {
  EnclaveKmsError,
  type ErrorCode,
  type ErrorDetails,
  LibraryLoadError,
  PolicyDeniedError,
  type PolicyErrorDetails,
  PolicyLoadError,
} from "../core/errors.ts";
export type { PcrsByIndex, PcrValue } from "../core/pcrs.ts";
export type { CiphertextDigest } from "../core/request_facts.ts";
export {
  allOf,
  anyOf,
  decideSafely,
  DEFAULT_FUEL,
  denyAll,
  MAX_FUEL,
  type Policy,
  type PolicyDecision,
} from "./policy.ts";
export { cedarSchema, DEFAULT_ATTRIBUTES, type SchemaParts } from "./cedar/schema.ts";
export { MAX_MODULE_BYTES, POLICY_ABI, type WasmOptions, wasmPolicy } from "./plugin/wasm_policy.ts";
export { loadPolicyFile, type PolicyFileOptions, PolicyHolder, type Replacement } from "./policy_file.ts";
export { RateCounter, type RateOptions, type Reservation } from "./rate.ts";
