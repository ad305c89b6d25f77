import type { Endpoint } from "../lib/core/endpoint.ts";
import { NsmClient } from "../lib/nsm/nsm_client.ts";
import { DEFAULT_REGION } from "../lib/aws/region.ts";
import type { Bridge } from "../lib/transport/bridge.ts";
import { Admission } from "./admission.ts";
import type { TokenParts } from "./callers/identify_caller.ts";
import { KmsTime } from "./callers/kms_time.ts";
import { makeTokenParts } from "./callers/token_parts.ts";
import type { BaseConfig } from "./base_config.ts";
import { BootKeys } from "./boot_keys.ts";
import { Channels } from "./channels/channels.ts";
import { CONTROL, createControlApp, fromParentOnly } from "./control_app.ts";
import { engineOptions } from "./engine_options.ts";
import { EnginePool } from "./engine_pool.ts";
import { seedEntropy } from "./entropy.ts";
import { findNsm } from "./find_nsm.ts";
import type { Gate } from "./gate.ts";
import { HttpListener, type HttpListenerParts } from "./http/http_listener.ts";
import { type IngressDeclaration, type IngressSettings, openIngresses } from "./ingresses.ts";
import { makeGate } from "./make_gate.ts";
import { makeLog } from "./make_log.ts";
import { metricsSources } from "./metrics_sources.ts";
import type { OpenApiDocument } from "./openapi.ts";
import { PolicySource } from "./policy_source.ts";
import type { RouteParts } from "./routes/built_in_route.ts";
import { describeEnclave } from "./enclave_info.ts";
import { type ConnectionHandler, serveConnections, type Served, type ServeLimits } from "./serve.ts";
import { controlLimits, httpTimeouts, serveLimits } from "./serve_limits.ts";
import type { RuntimeOptions, RuntimeParts } from "./runtime_options.ts";
import type { Readiness } from "./readiness.ts";
import { EnclaveService } from "./service.ts";
import type { TelemetryExporter } from "./telemetry/export/telemetry_exporter.ts";
import type { Logger } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import { describeFailure } from "./telemetry/request_line.ts";
import type { RequestLog } from "./telemetry/request_record.ts";

/**
 * Everything of an application in the enclave but its routes: log, metrics, policy, gate, KMS, the NSM, listeners with
 * their limits, and an orderly end. The decrypt server and `startEnclave()` stand on it.
 */
export class EnclaveRuntime implements AsyncDisposable {
  /** Destination of request records. */
  readonly requestLog: RequestLog;
  /** KMS and the NSM, behind gate and admission. */
  readonly service: EnclaveService;
  /** Keys of this boot. */
  readonly bootKeys: BootKeys;
  /** The NSM, if there is one. */
  readonly nsm: NsmClient | undefined;
  /** Gate before everything that is done for a caller. */
  readonly gate: Gate;
  /** Judge of tokens; none where no issuer is configured. */
  readonly tokens: TokenParts | undefined;
  readonly #config: BaseConfig;
  readonly #options: RuntimeOptions;
  readonly #policy: PolicySource;
  readonly #isSimulated: boolean;
  readonly #served = new Map<string, Served>();
  readonly #ingresses: Bridge[] = [];
  readonly #seedKernel: () => Promise<void>;
  readonly #time: KmsTime;
  readonly #telemetry: TelemetryExporter | undefined;
  #channels: Channels | undefined;
  readonly #closed = Promise.withResolvers<void>();
  #closing: Promise<void> | undefined;

  /**
   * Loads the policy, makes the keys of this boot and puts the parts together. Nothing listens yet.
   *
   * @param config Settings after every check
   * @param parts Parts in the place of the real ones
   * @param options Properties of the application
   * @throws {ConfigError} When the file of trusted certificates cannot be read, or has none
   * @throws {PolicyLoadError} When there is a policy file and it does not load
   */
  constructor(config: BaseConfig, parts: RuntimeParts, options: RuntimeOptions) {
    this.#config = config;
    this.#options = options;
    this.bootKeys = BootKeys.create({ algorithm: options.signatureAlgorithm });
    this.#policy = new PolicySource(config, options);
    const { requestLog, telemetry } = makeLog(config, parts, options, this.bootKeys.bootId);
    this.requestLog = requestLog;
    this.#telemetry = telemetry;
    this.#isSimulated = parts.nsm !== undefined;
    const nsm = parts.nsm ?? findNsm(this.logger);
    this.nsm = nsm === undefined ? undefined : new NsmClient(nsm);
    this.#seedKernel = async () => {
      if (parts.nsm !== undefined) return;
      await seedEntropy(this.nsm, this.logger, { timeoutMs: config.requestTimeoutMs });
    };
    const pcrs = () => this.service.nsmCheck.pcrs;
    this.gate = makeGate(config, options, { policy: this.#policy, refusals: requestLog.refusals, pcrs });
    const engines = new EnginePool(engineOptions(config, parts, options.variableOf));
    const { region = DEFAULT_REGION, requestTimeoutMs: timeoutMs } = config;
    this.#time = new KmsTime({ engines, region, timeoutMs });
    this.tokens = makeTokenParts(config, this.#time, options.claims);
    this.service = new EnclaveService({
      region,
      gate: this.gate,
      engines,
      nsm,
      admission: new Admission(config.maxConcurrent, config.maxWaiting),
      timeoutMs,
      hasPolicy: () => this.#policy.holder.isLoaded,
      needs: options.needs,
      clock: this.tokens !== undefined || config.clientAuthoritiesFile !== undefined ? this.#time : undefined,
      userData: () => this.bootKeys.digest(),
      metrics: this.metrics,
    });
    this.metrics.observe(metricsSources(this.service, this.#time, (protocol) => this.#served.get(protocol)));
  }

  /** Resolves when the runtime has closed. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Destination of the log. */
  get logger(): Logger {
    return this.requestLog.logger;
  }

  /** Counters. */
  get metrics(): Metrics {
    return this.requestLog.metrics;
  }

  /** Name of the policy in force, for the log. */
  get policyName(): string {
    return this.#policy.holder.name;
  }

  /** Limits on the connections of a listener. */
  get limits(): ServeLimits {
    return serveLimits(this.#config);
  }

  /**
   * Makes the keys of the channels. Called first: documents vouch for the keys that are there.
   *
   * @throws {ConfigError} When the file of clients' authorities cannot be read, or has another kind of certificate
   */
  async openChannels(): Promise<void> {
    const sealed = this.#options.isSealed === false ? "off" : this.#config.sealed;
    const now = () => this.#time.read();
    const { variableOf, needsTls = false } = this.#options;
    const parts = { keys: this.bootKeys, now, variableOf, needsTls };
    this.#channels = await Channels.open({ ...this.#config, sealed }, parts);
  }

  /**
   * Seeds the kernel, opens the engine and asks the NSM: what an application does before it listens. What is missing is
   * logged and not thrown.
   *
   * @returns The parts that are there
   * @throws {ConfigError} When tokens are configured, and a key of an issuer is none, or `jose` is not installed
   */
  async prepare(): Promise<Readiness> {
    this.#telemetry?.start();
    await this.tokens?.verifier.load();
    await this.#seedKernel(); // before readiness: a client that opens makes a key pair
    this.#policy.warnIfMissing(this.logger);
    return await this.service.readiness((error) => {
      this.logger.warn({ failure: describeFailure(error) }, "KMS cannot be asked yet");
    });
  }

  /**
   * Listens on an endpoint, until the runtime closes.
   *
   * @param name Name of the listener, which has its metrics
   * @param endpoint Endpoint to listen on
   * @param handler Handler of the connections
   * @param limits Limits on the connections. Default: {@link EnclaveRuntime.limits}
   * @returns Endpoint with the port that was chosen
   * @throws {ConnectionError} When the address is taken, not permitted, or there is no vsock
   */
  async serve(
    name: string,
    endpoint: Endpoint,
    handler: ConnectionHandler,
    limits: ServeLimits = this.limits,
  ): Promise<Endpoint> {
    const served = await serveConnections(endpoint, handler, limits);
    this.#served.set(name, served);
    return served.endpoint;
  }

  /**
   * Makes the handler of connections that carry HTTP/1.1.
   *
   * @param fetch Answers a request
   */
  httpHandler(fetch: HttpListenerParts["fetch"]): HttpListener {
    return new HttpListener({ ...this.requestLog, fetch, timeouts: httpTimeouts(this.#config) });
  }

  /**
   * Listens with TLS that ends inside the enclave, where the settings ask for it.
   *
   * @param fetch Answers a request
   * @throws {ConnectionError} When the address is taken, not permitted, or there is no vsock
   */
  async serveTls(fetch: HttpListenerParts["fetch"]): Promise<void> {
    const { tls: endpoint } = this.#config;
    const tls = this.#channels?.tls;
    if (tls === undefined || endpoint === null) return;
    await this.serve("tls", endpoint, tls.handler(this.httpHandler(fetch), this.requestLog));
  }

  /**
   * Opens ingresses, until the runtime closes.
   *
   * @param given Ingresses that the application declares
   * @param config Settings: the port of the control listener, and the folder of a simulation
   * @returns Their bridges, in the same order
   */
  async openIngresses(given: readonly IngressDeclaration[], config: IngressSettings): Promise<Bridge[]> {
    const { developmentCid } = this.#config;
    const parts = { tls: this.#channels?.tls, log: this.requestLog, developmentCid, config };
    await openIngresses(given, parts, (bridge) => this.#ingresses.push(bridge));
    return [...this.#ingresses];
  }

  /**
   * Makes the parts that the built-in routes answer from.
   *
   * @param name Name of the application
   * @param document OpenAPI document of the application
   */
  routeParts(name: string, document: OpenApiDocument): RouteParts {
    const { service, gate, metrics, bootKeys } = this;
    return {
      service,
      gate,
      bootKeys,
      metrics,
      document,
      sealed: this.#channels?.sealed,
      attestationExtras: (keys) => ({ ...this.#channels?.describe(keys) }),
      readiness: async () => ({ ...await service.readiness() }),
      info: () => describeEnclave(name, service, { bootId: bootKeys.bootId, isSimulated: this.#isSimulated }),
      shutDown: () => void this.close(),
    };
  }

  /**
   * Serves what only the parent may do.
   *
   * @param endpoint Endpoint of the control listener, on vsock or a unix socket, whose peers count as the parent
   * @param parts Parts that the routes answer from
   * @throws {ConnectionError} When the address is taken, not permitted, or there is no vsock
   */
  async serveControl(endpoint: Endpoint, parts: RouteParts): Promise<void> {
    const app = createControlApp(this.requestLog, parts);
    const handler = this.httpHandler((request, env) => app.fetch(request, Object.assign(env, CONTROL)));
    await this.serve("control", endpoint, fromParentOnly(handler), controlLimits(this.#config));
  }

  /**
   * Finds the endpoint of a listener, with the port that was chosen.
   *
   * @param name Name of the listener
   */
  endpointOf(name: string): Endpoint | undefined {
    return this.#served.get(name)?.endpoint;
  }

  /** Loads the policy file again. A bad one keeps the old one in force, and the log says so. */
  reloadPolicy(): void {
    this.#policy.reload(this.requestLog);
  }

  /** Accepts no more, finishes what runs, and then wipes the credentials. Closing twice is harmless. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** The same as {@link EnclaveRuntime.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.logger.info("closing");
    const { shutdownGraceMs: graceMs } = this.#config;
    try {
      const closing = [...this.#served.values()].map((served) => served.close(graceMs));
      await Promise.all([...closing, ...this.#ingresses.map((bridge) => bridge.close({ graceMs }))]);
      await this.service[Symbol.asyncDispose]();
      this.logger.info("closed");
    } finally {
      this.#channels?.[Symbol.dispose]();
      this.bootKeys[Symbol.dispose]();
      await this.#telemetry?.close();
      this.#closed.resolve();
    }
  }
}
