import type { Endpoint } from "../lib/core/endpoint.ts";
import { chooseRuntimeCrypto, describeCrypto } from "../lib/kms/runtime_crypto.ts";
import { SERVER_ACTIONS } from "../enclave/actions.ts";
import type { HttpCaller } from "../enclave/http/http_listener.ts";
import { useLightClasses } from "../enclave/http/light_response.ts";
import { EnclaveRuntime } from "../enclave/runtime.ts";
import { fromParentOnly } from "../enclave/control_app.ts";
import { credentialsPort } from "../enclave/secrets/credentials_port.ts";
import { controlLimits, httpTimeouts } from "../enclave/serve_limits.ts";
import type { RuntimeParts } from "../enclave/runtime_options.ts";
import type { Readiness } from "../enclave/readiness.ts";
import { createApp } from "./app.ts";
import { warnOfClearAnswers } from "./clear_answers.ts";
import { type Config, variableOf } from "./config.ts";
import { OPENAPI_DOCUMENT } from "./openapi.ts";
import { DEFAULT_KMSTOOL_TIMEOUTS, KmstoolListener } from "./kmstool/kmstool_listener.ts";

/** Name of the server, as an application. */
const NAME = "decrypt-server";

/** Parts that tests and the simulated enclave put in the place of the real ones. */
export interface ServerParts extends RuntimeParts {}

/**
 * Starts the server.
 *
 * @param config Settings after every check
 * @param parts Parts in the place of the real ones
 * @returns The server, listening
 * @throws {ConfigError} When the file of trusted certificates cannot be read, or has none, or a token issuer's key is none
 * @throws {PolicyLoadError} When there is a policy file and it does not load
 * @throws {ConnectionError} When an address is taken, or there is no vsock
 * @throws {LibraryLoadError} When libc does not load, which listening on vsock needs
 * @throws {SystemCallError} When the kernel refuses a socket for another reason
 */
export async function startServer(config: Config, parts: ServerParts = {}): Promise<Server> {
  const { credentialSetters, claims } = config;
  if (config.libcrypto !== undefined) chooseRuntimeCrypto(config.libcrypto);
  const runtime = new EnclaveRuntime(config, parts, {
    name: NAME,
    actions: SERVER_ACTIONS,
    variableOf,
    claims,
    credentialSetters,
  });
  if (parts.keepGlobals !== true) useLightClasses(runtime.closed);
  const server = new Server(config, runtime);
  await server.start();
  return server;
}

/** A running server. */
export class Server implements AsyncDisposable {
  readonly #config: Config;
  readonly #runtime: EnclaveRuntime;

  /** @internal */
  constructor(config: Config, runtime: EnclaveRuntime) {
    this.#config = config;
    this.#runtime = runtime;
  }

  /** Endpoint that HTTP listens on, with the port that was chosen. */
  get httpEndpoint(): Endpoint | undefined {
    return this.#runtime.endpointOf("http");
  }

  /** Endpoint of TLS that ends inside the enclave, with the port that was chosen; undefined when it is off. */
  get tlsEndpoint(): Endpoint | undefined {
    return this.#runtime.endpointOf("tls");
  }

  /** Endpoint that the kmstool protocol listens on, with the port that was chosen. */
  get kmstoolEndpoint(): Endpoint | undefined {
    return this.#runtime.endpointOf("kmstool");
  }

  /** Endpoint of the control listener, which only the parent reaches. */
  get controlEndpoint(): Endpoint | undefined {
    return this.#runtime.endpointOf("control");
  }

  /** Resolves when the server has ended, by {@link Server.close} or `/v1/shutdown`. */
  get closed(): Promise<void> {
    return this.#runtime.closed;
  }

  /** @internal */
  async start(): Promise<void> {
    let ready: Readiness;
    try {
      await this.#runtime.openChannels();
      ready = await this.#runtime.prepare();
      await this.#serveHttp();
      await this.#serveKmstool();
      await this.#serveCredentials();
    } catch (error) {
      await this.close();
      throw error;
    }
    const { httpEndpoint: http, tlsEndpoint: tls, kmstoolEndpoint: kmstool, controlEndpoint: control } = this;
    this.#runtime.logger.info(
      { http, tls, kmstool, control, policy: this.#runtime.policyName, crypto: describeCrypto(), ready },
      "listening",
    );
  }

  /** Loads the policy file again. A bad one keeps the old one in force, and the log says so. */
  reloadPolicy(): void {
    this.#runtime.reloadPolicy();
  }

  /** Accepts no more, finishes what runs, and then wipes the credentials. Closing twice is harmless. */
  close(): Promise<void> {
    return this.#runtime.close();
  }

  /** The same as {@link Server.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #serveHttp(): Promise<void> {
    const { http, tls, control, credentialSetters, answers } = this.#config;
    const warnings = warnOfClearAnswers(this.#config);
    for (const warning of warnings) this.#runtime.logger.warn(warning);
    const parts = { ...this.#runtime.routeParts(NAME, OPENAPI_DOCUMENT), warnings: () => warnings };
    if (control !== undefined) await this.#runtime.serveControl(control, parts);
    if (http === undefined && tls === null) return;
    const app = createApp({
      ...this.#runtime.requestLog,
      ...parts,
      tokens: this.#runtime.tokens,
      credentialSetters,
      answers,
    });
    const fetch = (request: Request, env: HttpCaller) => app.fetch(request, env);
    if (http !== undefined) await this.#runtime.serve("http", http, this.#runtime.httpHandler(fetch));
    await this.#runtime.serveTls(fetch);
  }

  async #serveCredentials(): Promise<void> {
    const { credentials, requestTimeoutMs: timeoutMs } = this.#config;
    if (credentials === undefined) return;
    const { logger, service } = this.#runtime;
    const handler = fromParentOnly(credentialsPort(service, { timeoutMs, logger }));
    await this.#runtime.serve("credentials", credentials, handler, controlLimits(this.#config));
  }

  async #serveKmstool(): Promise<void> {
    const { kmstool, region } = this.#config;
    if (kmstool === undefined) return;
    const { requestLog, service } = this.#runtime;
    const { idleMs, answerMs } = httpTimeouts(this.#config);
    const timeouts = { ...DEFAULT_KMSTOOL_TIMEOUTS, idleMs, answerMs };
    const handler = new KmstoolListener({ ...requestLog, service, region, timeouts });
    await this.#runtime.serve("kmstool", kmstool, handler);
  }
}
