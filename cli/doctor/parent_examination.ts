import type { EnclaveConnector } from "../../parent/connector/enclave_connector.ts";
import { type ImdsProbe, probeImds } from "../../parent/instance_credentials.ts";
import { connectorTo } from "../../parent/runner/real_parts.ts";
import type { ParentSettings } from "../../parent/settings/setting_table.ts";
import type { Findings, SharedSteps } from "./examine.ts";
import type { Finding, LinkName } from "./finding.ts";
import { type Machine, thisMachine } from "./machine.ts";

/** Options of an examination on the parent. */
export interface ParentExaminationOptions {
  /** Settings of the parent. */
  readonly settings: ParentSettings;
  /** Time for all links, in milliseconds. */
  readonly timeoutMs: number;
  /** Whether no enclave is expected to run yet. Default: false. */
  readonly isDryRun?: boolean | undefined;
  /** The process and the kernel. Default: this one. */
  readonly machine?: Machine | undefined;
}

/** Steps that the links of a parent share. */
export class ParentExamination implements SharedSteps {
  /** Options of this examination. */
  readonly options: ParentExaminationOptions & { readonly machine: Machine };
  readonly #findings: Findings;
  readonly #endsAt: number;
  readonly #ending = new AbortController();
  #probe: Promise<ImdsProbe> | undefined;
  #connector: EnclaveConnector | undefined;

  /**
   * @param options Options of the examination
   * @param findings The finding of each link, once there is one
   */
  constructor(options: ParentExaminationOptions, findings: Findings) {
    this.options = { ...options, machine: options.machine ?? thisMachine };
    this.#findings = findings;
    this.#endsAt = performance.now() + options.timeoutMs;
  }

  /** Milliseconds left, at least 1. */
  get remainingMs(): number {
    return Math.max(1, Math.floor(this.#endsAt - performance.now()));
  }

  /** Signal that aborts when the examination ends. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** Waits for the finding of another link. */
  async finding(name: LinkName): Promise<Finding> {
    const finding = await this.#findings.get(name);
    if (finding === undefined) throw new Error(`There is no link ${name}`);
    return finding;
  }

  /** Asks the metadata service, once. */
  probe(): Promise<ImdsProbe> {
    const { imdsEndpoint: endpoint, credentialsRole: role } = this.options.settings;
    return this.#probe ??= probeImds({ endpoint, role, timeoutMs: this.remainingMs, signal: this.signal });
  }

  /** Makes the connector to the enclave, once. */
  get connector(): EnclaveConnector {
    return this.#connector ??= connectorTo(this.options.settings);
  }

  /** Ends what is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    this.#probe?.catch(() => {});
    await this.#connector?.[Symbol.asyncDispose]();
  }
}
