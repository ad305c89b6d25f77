import { NsmClient } from "../lib/nsm/nsm_client.ts";
import type { NsmTransport } from "../lib/nsm/nsm_transport.ts";
import type { Endpoint } from "../lib/core/endpoint.ts";
import { openNsm } from "../lib/nsm/open_nsm.ts";
import type { Policy } from "../lib/policy/policy.ts";
import { loadPolicyFile, PolicyHolder } from "../lib/policy/policy_file.ts";
import { RateCounter } from "../lib/policy/rate.ts";
import { DEFAULT_REGION } from "../lib/aws/region.ts";
import { SERVER_ACTIONS } from "../enclave/actions.ts";
import { Admission } from "../enclave/admission.ts";
import { createApp } from "./app.ts";
import { EnginePool } from "../enclave/engine_pool.ts";
import { type Config, variableOf } from "./config.ts";
import { seedEntropy } from "../enclave/entropy.ts";
import { Gate, parentOnly } from "../enclave/gate.ts";
import { DEFAULT_HTTP_TIMEOUTS, type HttpCaller } from "../enclave/http/http_listener.ts";
import { readCertificates } from "../enclave/read_certificates.ts";
import { serveConnections, type Served, serveHttp, type ServeLimits } from "../enclave/serve.ts";
import { DEFAULT_KMSTOOL_TIMEOUTS, KmstoolListener } from "./kmstool/kmstool_listener.ts";
import { createLogger, type Logger } from "../enclave/telemetry/log.ts";
import { Metrics, type Protocol } from "../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../enclave/telemetry/refusal_log.ts";
import { describeFailure, type RequestLog } from "../enclave/telemetry/request_record.ts";
import { EnclaveService } from "../enclave/service.ts";

/** Parts that tests and the simulated enclave put in the place of the real ones. */
export interface ServerParts {
  /** Destination of the log. Default: JSON lines on the standard output. */
  readonly logger?: Logger | undefined;
  /** The NSM. Default: `/dev/nsm`. The kernel is seeded from that one only: another may be simulated. */
  readonly nsm?: NsmTransport | undefined;
  /** Authorities that may vouch for KMS, PEM. Default: the configuration's, or the runtime's own. */
  readonly trustedCertificates?: string | undefined;
}

/** Milliseconds after the request deadline when an answer is cut off. */
const ANSWER_MARGIN_MS = 10_000;

/** Most connections of a client to KMS. */
const MAX_CONNECTIONS = 1024;

/**
 * Starts the server.
 *
 * @param config Settings after every check
 * @param parts Parts in the place of the real ones
 * @returns The server, listening
 * @throws {ConfigError} When the file of trusted certificates cannot be read, or has none
 * @throws {PolicyLoadError} When there is a policy file and it does not load
 * @throws {ConnectionError} When an address is taken, or there is no vsock
 * @throws {LibraryLoadError} When libc does not load, which listening on vsock needs
 * @throws {SystemCallError} When the kernel refuses a socket for another reason
 */
export async function startServer(config: Config, parts: ServerParts = {}): Promise<Server> {
  const logger = parts.logger ?? createLogger(config.logLevel);
  const policy = new PolicyHolder(
    config.policyFile === undefined ? undefined : loadPolicy(config.policyFile, config),
  );
  const server = new Server(config, { ...parts, logger }, policy);
  await server.start();
  return server;
}

function loadPolicy(path: string, { policyFuel: fuel }: Config): Policy {
  return loadPolicyFile(path, { actions: SERVER_ACTIONS, cedar: { fuel }, plugin: { fuel } });
}

/** A running server. */
export class Server implements AsyncDisposable {
  readonly #config: Config;
  readonly #logger: Logger;
  readonly #policy: PolicyHolder;
  readonly #metrics = new Metrics();
  readonly #requestLog: RequestLog;
  readonly #service: EnclaveService;
  readonly #served = new Map<Protocol, Served>();
  readonly #seedKernel: () => Promise<void>;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(config: Config, parts: ServerParts & { logger: Logger }, policy: PolicyHolder) {
    this.#config = config;
    this.#logger = parts.logger;
    this.#policy = policy;
    const refusals = new RefusalLog({ logger: parts.logger, rateWindowSeconds: config.rateWindowSeconds });
    this.#requestLog = { logger: parts.logger, metrics: this.#metrics, refusals };
    const nsm = parts.nsm ?? this.#openNsm();
    this.#seedKernel = async () => {
      if (parts.nsm !== undefined) return;
      const client = nsm === undefined ? undefined : new NsmClient(nsm);
      await seedEntropy(client, parts.logger, { timeoutMs: config.requestTimeoutMs });
    };
    const admission = new Admission(config.maxConcurrent, config.maxWaiting);
    this.#service = new EnclaveService({
      region: config.region ?? DEFAULT_REGION,
      gate: this.#makeGate(),
      engines: new EnginePool(engineOptions(config, parts)),
      nsm,
      admission,
      timeoutMs: config.requestTimeoutMs,
      hasPolicy: () => policy.isLoaded,
    });
    this.#metrics.observe({
      running: () => admission.inside,
      credentials: () => this.#service.scope.credentials.state,
      atLimit: (protocol) => this.#served.get(protocol),
    });
  }

  /** Endpoint that HTTP listens on, with the port that was chosen. */
  get httpEndpoint(): Endpoint | undefined {
    return this.#served.get("http")?.endpoint;
  }

  /** Endpoint that the kmstool protocol listens on, with the port that was chosen. */
  get kmstoolEndpoint(): Endpoint | undefined {
    return this.#served.get("kmstool")?.endpoint;
  }

  /** @internal */
  async start(): Promise<void> {
    await this.#seedKernel(); // before readiness: a client that opens makes a key pair
    if (!this.#policy.isLoaded) {
      const setting = `policyFile (${variableOf("policyFile")})`;
      this.#logger.warn({ setting }, "there is no policy file: every request is refused");
    }
    const ready = await this.#service.readiness((error) => {
      this.#logger.warn({ failure: describeFailure(error) }, "KMS cannot be asked yet");
    });
    try {
      await this.#serveHttp();
      await this.#serveKmstool();
    } catch (error) {
      await this.close();
      throw error;
    }
    const { httpEndpoint: http, kmstoolEndpoint: kmstool } = this;
    this.#logger.info({ http, kmstool, policy: this.#policy.name, ready }, "listening");
  }

  /** Loads the policy file again. A bad one keeps the old one in force, and the log says so. */
  reloadPolicy(): void {
    const { policyFile } = this.#config;
    if (policyFile === undefined) return void this.#logger.warn("there is no policy file to load again");
    const outcome = this.#policy.replace(() => loadPolicy(policyFile, this.#config));
    this.#metrics.countReload(outcome.replaced ? "ok" : "failed");
    if (outcome.replaced) this.#logger.info({ policy: outcome.name }, "the policy is replaced");
    else {
      const failure = describeFailure(outcome.error);
      this.#logger.error({ policy: outcome.name, failure }, "the old policy stays in force");
    }
  }

  /** Accepts no more, finishes what runs, and then wipes the credentials. Closing twice is harmless. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** The same as {@link Server.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#logger.info("closing");
    const { shutdownGraceMs } = this.#config;
    await Promise.all([...this.#served.values()].map((served) => served.close(shutdownGraceMs)));
    await this.#service[Symbol.asyncDispose]();
    this.#logger.info("closed");
  }

  #makeGate(): Gate {
    const { credentialSetters, rateWindowSeconds, callers } = this.#config;
    return new Gate({
      policy: this.#policy,
      credentialPolicy: credentialSetters === "parent" ? parentOnly : this.#policy,
      rate: new RateCounter({ windowSeconds: rateWindowSeconds }),
      refusals: this.#requestLog.refusals,
      actions: SERVER_ACTIONS,
      attributes: callers,
      pcrs: () => this.#service.pcrs,
      revision: () => this.#policy.revision,
    });
  }

  #openNsm(): NsmTransport | undefined {
    try {
      return openNsm();
    } catch (error) {
      this.#logger.warn({ failure: describeFailure(error) }, "the NSM cannot be opened");
      return undefined;
    }
  }

  async #serveHttp(): Promise<void> {
    const { http } = this.#config;
    if (http === undefined) return;
    const app = createApp({ ...this.#requestLog, service: this.#service });
    const parts = {
      ...this.#requestLog,
      fetch: (request: Request, env: HttpCaller) => app.fetch(request, env),
      timeouts: { ...DEFAULT_HTTP_TIMEOUTS, ...this.#timeouts },
    };
    this.#served.set("http", await serveHttp(http, parts, this.#limits));
  }

  async #serveKmstool(): Promise<void> {
    const { kmstool, region } = this.#config;
    if (kmstool === undefined) return;
    const timeouts = { ...DEFAULT_KMSTOOL_TIMEOUTS, ...this.#timeouts };
    const handler = new KmstoolListener({ ...this.#requestLog, service: this.#service, region, timeouts });
    this.#served.set("kmstool", await serveConnections(kmstool, handler, this.#limits));
  }

  get #timeouts(): { readonly idleMs: number; readonly answerMs: number } {
    const { idleTimeoutMs, requestTimeoutMs } = this.#config;
    return { idleMs: idleTimeoutMs, answerMs: requestTimeoutMs + ANSWER_MARGIN_MS };
  }

  get #limits(): ServeLimits {
    const { maxConnections, idleTimeoutMs, requestTimeoutMs, developmentCid } = this.#config;
    const quietMs = Math.max(idleTimeoutMs, requestTimeoutMs) + ANSWER_MARGIN_MS;
    return { maxConnections, quietMs, developmentCid };
  }
}

function engineOptions(config: Config, { nsm, trustedCertificates }: ServerParts) {
  const { engine, kms: endpoint, hostName, library, requestTimeoutMs, maxConcurrent } = config;
  return {
    engine,
    endpoint,
    hostName,
    library,
    nsm,
    trustedCertificates: trustedCertificates ?? readTrusted(config.trustedCertificatesFile),
    timeoutMs: requestTimeoutMs,
    // One for each request that runs: none of them waits for another.
    maxConnections: Math.min(maxConcurrent, MAX_CONNECTIONS),
  };
}

function readTrusted(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  return readCertificates(path, `trustedCertificatesFile (${variableOf("trustedCertificatesFile")})`);
}
