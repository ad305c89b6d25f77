import { Buffer } from "node:buffer";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import type { Policy, PolicyDecision } from "../../lib/policy/policy.ts";
import type { PolicyFacts } from "../../lib/policy/facts.ts";
import { PolicyHolder } from "../../lib/policy/policy_file.ts";
import { Admission } from "../../enclave/admission.ts";
import { createApp } from "../../server/app.ts";
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
  readonly maxConcurrent?: number;
  readonly maxWaiting?: number;
  readonly timeoutMs?: number;
  readonly withoutNsm?: boolean;
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
    const allowed = facts.principal.cid === TENANT || facts.principal.cid === PARENT;
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
  readonly app: ReturnType<typeof createApp>;
  readonly keyId: string;
  readonly ciphertext: string;

  private constructor(
    simulator: Simulator,
    endpoint: Endpoint,
    keyId: string,
    ciphertext: string,
    options: FixtureOptions,
  ) {
    this.simulator = simulator;
    this.keyId = keyId;
    this.ciphertext = ciphertext;
    const { policy = new RecordingPolicy(), maxConcurrent = 64, maxWaiting = 512, timeoutMs = 60_000 } =
      options;
    const { nsm, trustedCertificates, region } = simulator.clientOptions;
    const gate = new Gate({
      policy,
      credentialPolicy: options.credentialPolicy ?? parentOnly,
      rate: this.rate,
      refusals: this.refusals,
      attributes: { [TENANT]: { tenant: "red" } },
      pcrs: () => this.service.pcrs,
      revision: () => policy instanceof PolicyHolder ? policy.revision : 0,
    });
    this.admission = new Admission(maxConcurrent, maxWaiting);
    this.service = new EnclaveService({
      region,
      gate,
      engines: new EnginePool({ engine: "direct", endpoint, trustedCertificates, nsm }),
      nsm: options.withoutNsm === true ? undefined : nsm,
      admission: this.admission,
      timeoutMs,
      hasPolicy: () => policy.name !== "deny-all",
    });
    this.metrics.observe({
      running: () => this.admission.inside,
      credentials: () => this.service.scope.credentials.state,
    });
    this.app = createApp(this);
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
    const fixture = new Fixture(simulator, endpoint, keyId, Buffer.from(bytes).toString("base64"), options);
    await fixture.service.checkNsm();
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
    const post = body === undefined ? {} : {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: typeof body === "string" ? body : JSON.stringify(body),
    };
    return await this.app.request(path, { ...post, ...init }, { cid, connection });
  }

  /** The body that decrypts to {@link PLAINTEXT}. */
  get decryptBody(): Record<string, unknown> {
    return { ciphertext: this.ciphertext, encryptionContext: ENCRYPTION_CONTEXT };
  }

  async setCredentials(): Promise<Response> {
    return await this.call("/v1/credentials", this.simulator.credentials, PARENT);
  }

  /** The last line of the log. */
  get lastLine(): Record<string, unknown> {
    return JSON.parse(this.logged.at(-1) ?? "{}");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.service[Symbol.asyncDispose]();
    await this.simulator.close();
  }
}

/** Counts, and forgets what is given back. */
export class CountingRate {
  readonly counts = new Map<number, number>();

  reserve(cid: number): { count: number; giveBack(): void } {
    const count = (this.counts.get(cid) ?? 0) + 1;
    this.counts.set(cid, count);
    return { count, giveBack: () => void this.counts.set(cid, (this.counts.get(cid) ?? 1) - 1) };
  }
}

export { until } from "../support/until.ts";
