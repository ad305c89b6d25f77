import { RateCounter } from "../lib/policy/rate.ts";
import type { BaseConfig } from "./base_config.ts";
import { Gate, type GateParts, parentOnly } from "./gate.ts";
import type { PolicySource } from "./policy_source.ts";
import type { RuntimeOptions } from "./runtime_options.ts";

/**
 * Makes the gate of an application, as its settings and its declaration have it.
 *
 * @param config Settings after every check
 * @param options Properties of the application
 * @param parts Policy, PCRs of this enclave, and the counter of refusals
 */
export function makeGate(
  { rateWindowSeconds, callers }: BaseConfig,
  { credentialSetters = "parent", actions }: RuntimeOptions,
  { policy, pcrs, refusals }: Pick<GateParts, "pcrs" | "refusals"> & { readonly policy: PolicySource },
): Gate {
  return new Gate({
    policy: policy.holder,
    credentialPolicy: credentialSetters === "parent" ? parentOnly : policy.holder,
    rate: new RateCounter({ windowSeconds: rateWindowSeconds }),
    refusals,
    actions,
    attributes: callers,
    pcrs,
    revision: () => policy.holder.revision,
  });
}
