import { Buffer } from "node:buffer";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import type { Policy, PolicyDecision } from "../../lib/policy/policy.ts";
import type { PolicyFacts } from "../../lib/policy/facts.ts";
import { PolicyHolder } from "../../lib/policy/policy_file.ts";
import { Admission } from "../../enclave/admission.ts";
import { createApp } from "../../server/app.ts";
import { BootKeys } from "../../enclave/boot_keys.ts";
import { createControlApp } from "../../enclave/control_app.ts";
import { describeEnclave } from "../../enclave/enclave_info.ts";
import { OPENAPI_DOCUMENT } from "../../server/openapi.ts";
import { SealedChannel } from "../../enclave/channels/sealed.ts";
import { EnginePool } from "../../enclave/engine_pool.ts";
import { Gate, parentOnly } from "../../enclave/gate.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { Metrics } from "../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../enclave/telemetry/refusal_log.ts";
import { EnclaveService } from "../../enclave/service.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";

/** CIDs of the tests' callers. */
export const PARENT = 3;
export const TENANT = 7;
export const STRANGER = 9;

/** Plaintext of these tests; no log may hold any of it. */
export const PLAINTEXT = "attack at dawn, tenant red";
export const ENCRYPTION_CONTEXT: Readonly<Record<string, string>> = { tenant: "red" };

/** Differences between a test's server and the usual one. */
export interface FixtureOptions {
  readonly policy?: Policy;
  /** Default: the parent alone. */
  readonly credentialPolicy?: Policy;
  /** Default: any. */
  readonly answers?: "sealed" | "any";
  readonly maxConcurrent?: number;
  readonly maxWaiting?: number;
  readonly timeoutMs?: number;
  readonly withoutNsm?: boolean;
  /** Makes the user data of documents. */
  readonly userData?: () => Promise<Uint8Array>;
  /** Form of the NSM's documents. */
  readonly documentForm?: "indefinite" | "definite";
  /** Gets where KMS listens, and returns where to look for it. */
  readonly through?: (endpoint: Endpoint) => Promise<Endpoint>;
}

/** Permits the tenant everything but credentials, and keeps what it was asked. */
export class RecordingPolicy implements Policy {
  readonly name = "recording";
  readonly asked: PolicyFacts[] = [];

  decide(facts: PolicyFacts): PolicyDecision {
    this.asked.push(facts);
    const { principal } = facts;
    const allowed = principal.type === "Caller" && [TENANT, PARENT].includes(principal.cid);
    return { allowed, reason: allowed ? "a tenant" : "a stranger, for a secret reason", determining: ["p1"] };
  }
}

/** A service over a simulated enclave, with its app and its log. */
export class Fixture implements AsyncDisposable {
  readonly simulator: Simulator;
  readonly service: EnclaveService;
  readonly metrics = new Metrics();
  readonly logged: string[] = [];
  readonly logger = createLogger("debug", (line) => this.logged.push(line));
  readonly refusals = new RefusalLog({ logger: this.logger });
  readonly rate = new CountingRate();
  readonly admission: Admission;
  readonly gate: Gate;
  readonly app: ReturnType<typeof createApp>;
  /** Application of the control listener. */
  readonly control: ReturnType<typeof createControlApp>;
  readonly keyId: string;
  readonly ciphertext: string;
  readonly bootKeys: BootKeys;
  readonly sealed: SealedChannel;

  private constructor(
    simulator: Simulator,
    endpoint: Endpoint,
    keyId: string,
    ciphertext: string,
    options: FixtureOptions,
    bootKeys: BootKeys,
    sealed: SealedChannel,
  ) {
    this.sealed = sealed;
    this.bootKeys = bootKeys;
    this.simulator = simulator;
    this.keyId = keyId;
    this.ciphertext = ciphertext;
    const { policy = new RecordingPolicy(), maxConcurrent = 64, maxWaiting = 512, timeoutMs = 60_000 } =
      options;
    const { nsm, trustedCertificates, region } = simulator.clientOptions;
    const gate = this.gate = new Gate({
      policy,
      credentialPolicy: options.credentialPolicy ?? parentOnly,
      rate: this.rate,
      refusals: this.refusals,
      attributes: { [TENANT]: { tenant: "red" } },
      pcrs: () => this.service.nsmCheck.pcrs,
      revision: () => policy instanceof PolicyHolder ? policy.revision : 0,
    });
    this.admission = new Admission(maxConcurrent, maxWaiting);
    this.service = new EnclaveService({
      region,
      gate,
      engines: new EnginePool({ engine: "direct", endpoint, trustedCertificates, nsm, timeoutMs: 60_000 }),
      nsm: options.withoutNsm === true ? undefined : nsm,
      admission: this.admission,
      timeoutMs,
      hasPolicy: () => policy.name !== "deny-all",
      userData: options.userData ?? (() => bootKeys.digest()),
    });
    this.metrics.observe({
      running: () => this.service.pacing.inside,
      turns: () => this.service.turnLimit,
      throttled: () => this.service.pacing.throttledCount,
      credentials: () => this.service.scope.credentials.state,
    });
    const parts = {
      service: this.service,
      bootKeys,
      gate,
      metrics: this.metrics,
      document: OPENAPI_DOCUMENT,
      sealed,
      readiness: async () => ({ ...await this.service.readiness() }),
      info: () => describeEnclave("test", this.service, { bootId: bootKeys.bootId, isSimulated: true }),
      shutDown: () => {},
    };
    const { logger, refusals } = this;
    const credentialSetters = options.credentialPolicy === undefined ? "parent" : "policy";
    this.app = createApp({ logger, refusals, ...parts, credentialSetters, answers: options.answers });
    this.control = createControlApp({ logger, refusals, metrics: this.metrics }, parts);
  }

  static async start(options: FixtureOptions = {}): Promise<Fixture> {
    const simulator = await startSimulator({ nsm: { documentForm: options.documentForm } });
    const { keyId } = await simulator.createKey();
    const bytes = await simulator.encrypt({
      keyId,
      plaintext: PLAINTEXT,
      encryptionContext: ENCRYPTION_CONTEXT,
    });
    const endpoint = await options.through?.(simulator.endpoint) ?? simulator.endpoint;
    const bootKeys = BootKeys.create();
    const fixture = new Fixture(
      simulator,
      endpoint,
      keyId,
      Buffer.from(bytes).toString("base64"),
      options,
      bootKeys,
      await SealedChannel.create({ keys: bootKeys }),
    );
    await fixture.service.nsmCheck.answers();
    return fixture;
  }

  /** Sends one request as a caller with that CID. */
  async call(
    path: string,
    body?: unknown,
    cid: number = TENANT,
    init: RequestInit = {},
    connection: object = {},
  ): Promise<Response> {
    return await this.app.request(path, { ...postOf(body), ...init }, { cid, connection });
  }

  /** Sends one request over the control listener, as the parent. */
  async callControl(path: string, body?: unknown, connection: object = {}): Promise<Response> {
    return await this.control.request(path, postOf(body), { cid: PARENT, connection, isControl: true });
  }

  /** The body that decrypts to {@link PLAINTEXT}. */
  get decryptBody(): Record<string, unknown> {
    return { ciphertext: this.ciphertext, encryptionContext: ENCRYPTION_CONTEXT };
  }

  async setCredentials(): Promise<Response> {
    return await this.callControl("/v1/credentials", this.simulator.credentials);
  }

  /** The last line of the log. */
  get lastLine(): Record<string, unknown> {
    return JSON.parse(this.logged.at(-1) ?? "{}");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.sealed[Symbol.dispose]();
    await this.service[Symbol.asyncDispose]();
    await this.simulator.close();
  }
}

/** Counts, and forgets what is given back. */
export class CountingRate {
  readonly counts = new Map<string, number>();

  reserve(caller: string): { count: number; giveBack(): void } {
    const count = (this.counts.get(caller) ?? 0) + 1;
    this.counts.set(caller, count);
    return { count, giveBack: () => void this.counts.set(caller, (this.counts.get(caller) ?? 1) - 1) };
  }
}

export { until } from "../support/until.ts";

function postOf(body: unknown): RequestInit {
  if (body === undefined) return {};
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return { method: "POST", headers: { "content-type": "application/json" }, body: text };
}
