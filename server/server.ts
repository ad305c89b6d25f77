import { readFileSync } from "node:fs";
import { NsmClient } from "../lib/nsm/nsm_client.ts";
import type { NsmTransport } from "../lib/nsm/nsm_transport.ts";
import type { Endpoint } from "../lib/core/endpoint.ts";
import { openNsm } from "../lib/nsm/open_nsm.ts";
import type { Policy } from "../lib/policy/policy.ts";
import { loadPolicyFile, PolicyHolder } from "../lib/policy/policy_file.ts";
import { RateCounter } from "../lib/policy/rate.ts";
import { DEFAULT_REGION } from "../lib/aws/region.ts";
import { listen, type Listener } from "../lib/transport/listen.ts";
import type { Connection } from "../lib/transport/connection.ts";
import { SERVER_ACTIONS } from "../enclave/actions.ts";
import { Admission } from "../enclave/admission.ts";
import { createApp } from "./app.ts";
import { EnginePool } from "../enclave/engine_pool.ts";
import { type Config, variableOf } from "./config.ts";
import { ConfigError, reasonOf } from "../enclave/settings.ts";
import { seedEntropy } from "../enclave/entropy.ts";
import { Gate, parentOnly } from "../enclave/gate.ts";
import { DEFAULT_HTTP_TIMEOUTS, HttpListener } from "../enclave/http/http_listener.ts";
import { DEFAULT_KMSTOOL_TIMEOUTS, KmstoolListener } from "./kmstool/kmstool_listener.ts";
import { createLogger, type Logger } from "../enclave/telemetry/log.ts";
import { type AtLimit, Metrics, type Protocol } from "../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../enclave/telemetry/refusal_log.ts";
import { describeFailure, type RequestLog } from "../enclave/telemetry/request_record.ts";
import { EnclaveService } from "../enclave/service.ts";

/** What tests and the simulated enclave put in the place of the real thing. */
export interface ServerParts {
  /** Default: JSON lines on the standard output. */
  readonly logger?: Logger | undefined;
  /** Default: `/dev/nsm`, from which the kernel is seeded. With another one it is not: that may be simulated. */
  readonly nsm?: NsmTransport | undefined;
  /** PEM. Default: what the configuration names, or the runtime's own. */
  readonly trustedCertificates?: string | undefined;
}

/** One protocol and where it listens. */
interface Served {
  readonly protocol: Protocol;
  readonly listener: Listener;
  close(graceMs: number): Promise<void>;
}

/** Answers are cut off this much after the request deadline, in milliseconds. */
const ANSWER_MARGIN_MS = 10_000;

/** The most that a client has to KMS. */
const MAX_CONNECTIONS = 1024;

/** Linux's own limit, unless somebody raised it. */
const MAX_BACKLOG = 4096;

/**
 * Starts the server.
 *
 * @param config After every check
 * @param parts What takes the place of the real thing
 * @returns It, listening
 * @throws {ConfigError} When the file of trusted certificates cannot be read, or has none
 * @throws {PolicyLoadError} When there is a policy file and it does not load
 * @throws {ConnectionError} When an address is taken, or there is no vsock
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
  readonly #served: Served[] = [];
  readonly #seedKernel: () => Promise<void>;
  #httpEndpoint: Endpoint | undefined;
  #kmstoolEndpoint: Endpoint | undefined;
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
      atLimit: (protocol) => this.#atLimit(protocol),
    });
  }

  /** Where HTTP listens, with the port that was chosen. */
  get httpEndpoint(): Endpoint | undefined {
    return this.#httpEndpoint;
  }

  /** Where the kmstool protocol listens, with the port that was chosen. */
  get kmstoolEndpoint(): Endpoint | undefined {
    return this.#kmstoolEndpoint;
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
      this.#httpEndpoint = await this.#serveHttp();
      this.#kmstoolEndpoint = await this.#serveKmstool();
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
    await Promise.all(this.#served.map(async ({ listener, close }) => {
      const closed = listener.close();
      await close(this.#config.shutdownGraceMs);
      listener.destroyConnections();
      await closed;
    }));
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

  async #serveHttp(): Promise<Endpoint | undefined> {
    const { http, idleTimeoutMs, requestTimeoutMs } = this.#config;
    if (http === undefined) return undefined;
    const requestLog = this.#requestLog;
    const app = createApp({ ...requestLog, service: this.#service });
    const answerMs = requestTimeoutMs + ANSWER_MARGIN_MS;
    const timeouts = { ...DEFAULT_HTTP_TIMEOUTS, idleMs: idleTimeoutMs, answerMs };
    const handler = new HttpListener({
      ...requestLog,
      fetch: (request, env) => app.fetch(request, env),
      timeouts,
    });
    return await this.#listen("http", http, handler);
  }

  async #serveKmstool(): Promise<Endpoint | undefined> {
    const { kmstool, idleTimeoutMs, requestTimeoutMs, region } = this.#config;
    if (kmstool === undefined) return undefined;
    const answerMs = requestTimeoutMs + ANSWER_MARGIN_MS;
    const timeouts = { ...DEFAULT_KMSTOOL_TIMEOUTS, idleMs: idleTimeoutMs, answerMs };
    const handler = new KmstoolListener({ ...this.#requestLog, service: this.#service, region, timeouts });
    return await this.#listen("kmstool", kmstool, handler);
  }

  #atLimit(protocol: Protocol): AtLimit | undefined {
    return this.#served.find((one) => one.protocol === protocol)?.listener;
  }

  async #listen(
    protocol: Protocol,
    endpoint: Endpoint,
    handler: HttpListener | KmstoolListener,
  ): Promise<Endpoint> {
    const { maxConnections, idleTimeoutMs, requestTimeoutMs, developmentCid } = this.#config;
    const quietMs = Math.max(idleTimeoutMs, requestTimeoutMs) + ANSWER_MARGIN_MS;
    const accept = ({ stream, peer }: Connection) => handler.accept(stream, peer?.cid ?? developmentCid);
    // A burst waits there; over unix sockets and vsock, one too many is refused at once.
    const backlog = Math.min(maxConnections, MAX_BACKLOG);
    const giveWay = () => handler.giveWay();
    const limits = { backlog, maxConnections, giveWay, idleTimeoutMs: quietMs };
    const listener = await listen(endpoint, limits, accept);
    this.#served.push({ protocol, listener, close: (graceMs) => handler.close(graceMs) });
    return listener.endpoint;
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
    trustedCertificates: trustedCertificates ?? readCertificates(config.trustedCertificatesFile),
    timeoutMs: requestTimeoutMs,
    // Whoever runs is not to wait for whoever else runs.
    maxConnections: Math.min(maxConcurrent, MAX_CONNECTIONS),
  };
}

function readCertificates(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  const setting = `trustedCertificatesFile (${variableOf("trustedCertificatesFile")})`;
  let pem: string;
  try {
    pem = readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError([`${setting}: ${path} cannot be read (${reasonOf(error)})`]);
  }
  if (!pem.includes("-----BEGIN CERTIFICATE-----")) {
    throw new ConfigError([`${setting}: ${path} has no certificate in PEM`]);
  }
  return pem;
}
