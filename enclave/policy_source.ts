import type { Policy } from "../lib/policy/policy.ts";
import { loadPolicyFile, PolicyHolder } from "../lib/policy/policy_file.ts";
import type { BaseConfig } from "./base_config.ts";
import { ALL_NEEDS } from "./readiness.ts";
import type { RuntimeOptions } from "./runtime_options.ts";
import type { Logger } from "./telemetry/log.ts";
import { describeFailure } from "./telemetry/request_line.ts";
import type { RequestLog } from "./telemetry/request_record.ts";

/** Policy of an application, from the file that its settings name, which can be loaded again. */
export class PolicySource {
  /** Policy in force. */
  readonly holder: PolicyHolder;
  readonly #config: BaseConfig;
  readonly #options: RuntimeOptions;

  /**
   * Loads the policy file, if there is one.
   *
   * @param config Settings after every check
   * @param options Actions, attributes and claims of the schema
   * @throws {PolicyLoadError} When there is a policy file and it does not load
   */
  constructor(config: BaseConfig, options: RuntimeOptions) {
    this.#config = config;
    this.#options = options;
    const { policyFile } = config;
    this.holder = new PolicyHolder(policyFile === undefined ? undefined : this.#load(policyFile));
  }

  /**
   * Says so when the application needs a policy, and there is no file.
   *
   * @param logger Gets the line
   */
  warnIfMissing(logger: Logger): void {
    const { needs = ALL_NEEDS, variableOf } = this.#options;
    if (this.holder.isLoaded || !needs.includes("policy")) return;
    const setting = `policyFile (${variableOf("policyFile")})`;
    logger.warn({ setting }, "there is no policy file: every request is refused");
  }

  /**
   * Loads the policy file again. A bad one keeps the old one in force.
   *
   * @param log Gets the outcome
   */
  reload({ logger, metrics }: Pick<RequestLog, "logger" | "metrics">): void {
    const { policyFile } = this.#config;
    if (policyFile === undefined) return void logger.warn("there is no policy file to load again");
    const outcome = this.holder.replace(() => this.#load(policyFile));
    metrics.countReload(outcome.replaced ? "ok" : "failed");
    if (outcome.replaced) logger.info({ policy: outcome.name }, "the policy is replaced");
    else {
      const failure = describeFailure(outcome.error);
      logger.error({ policy: outcome.name, failure }, "the old policy stays in force");
    }
  }

  #load(path: string): Policy {
    const { policyFuel: fuel } = this.#config;
    const { actions, attributes, claims } = this.#options;
    return loadPolicyFile(path, { actions, cedar: { fuel, attributes, claims }, plugin: { fuel } });
  }
}
