/**
 * Loads policies as the decrypt server does: for its actions.
 *
 * @module
 */
import * as policy from "../../lib/policy/mod.ts";
import { type PolicyScope, PolicySlices as Slices } from "../../lib/policy/cedar/policy_slices.ts";

/** Actions of the decrypt server. */
export const ACTIONS: readonly string[] = [
  "Decrypt",
  "Encrypt",
  "GenerateDataKey",
  "GenerateDataKeyPair",
  "GenerateRandom",
  "DeriveSharedSecret",
  "GenerateMac",
  "VerifyMac",
  "Sign",
  "Verify",
  "GetPublicKey",
  "GetAttestation",
  "SignData",
  "HashData",
  "SetCredentials",
  "SetOwnCredentials",
];

/** Loads a Cedar policy. */
export function cedarPolicy(text: string, options: Partial<policy.CedarOptions> = {}): policy.Policy {
  return policy.cedarPolicy(text, { actions: ACTIONS, ...options });
}

/** Writes the schema. */
export function cedarSchema(attributes?: policy.AttributeTypes): string {
  return policy.cedarSchema({ actions: ACTIONS, attributes });
}

/** Loads a plug-in. */
export function wasmPolicy(bytes: Uint8Array, options: Partial<policy.WasmOptions> = {}): policy.Policy {
  return policy.wasmPolicy(bytes, { actions: ACTIONS, ...options });
}

/** Loads a policy file. */
export function loadPolicyFile(path: string, options: Partial<policy.PolicyFileOptions> = {}): policy.Policy {
  return policy.loadPolicyFile(path, { actions: ACTIONS, ...options });
}

/** Sorts policies. */
export function policySlices(scopes: readonly PolicyScope[]): Slices {
  return new Slices(scopes, ACTIONS);
}

/** @returns The CID of a caller of whom nothing else is known; of others undefined */
export function cidOf(facts: policy.PolicyFacts | undefined): number | undefined {
  return facts?.principal.type === "Caller" ? facts.principal.cid : undefined;
}
