import type { Hono } from "hono";
import type { Endpoint } from "../lib/core/endpoint.ts";
import { describeCrypto } from "../lib/kms/runtime_crypto.ts";
import type { Bridge } from "../lib/transport/bridge.ts";
import { checkFields } from "../lib/core/checks.ts";
import type { SecretBytes } from "../lib/core/secret_bytes.ts";
import type { SealedChannel } from "./channels/sealed.ts";
import { composeApp, documentEnclave } from "./compose_app.ts";
import { type EnclaveConfig, endpointsOf } from "./enclave_config.ts";
import type { EnclaveEnv } from "./enclave_env.ts";
import { removeStaleSocket } from "../lib/transport/vsock_place.ts";
import type { CheckedOptions } from "./enclave_options.ts";
import { OPEN_GATE } from "./gate.ts";
import { NO_CID } from "./http/http_app.ts";
import type { HttpCaller } from "./http/http_listener.ts";
import { KmsService } from "./kms_service.ts";
import { notePushedCredentials } from "./pushed_credentials.ts";
import type { EnclaveRuntime } from "./runtime.ts";
import type { RouteParts } from "./routes/built_in_route.ts";
import { EnclaveSecrets, type EnclaveSecretsParts } from "./secrets/enclave_secrets.ts";
import { readBoot } from "./shared_keys/boot_facts.ts";
import type { SharedKey } from "./shared_keys/shared_key.ts";
import { listenToSignals } from "./signals.ts";
import type { Logger } from "./telemetry/log.ts";
import { RequestRecord } from "./telemetry/request_record.ts";

/** Parts of an {@link Enclave}. */
interface EnclaveParts extends Pick<EnclaveSecretsParts, "secrets" | "ports"> {
  readonly runtime: EnclaveRuntime;
}

/** A running application in the enclave. */
export class Enclave implements AsyncDisposable {
  readonly #options: CheckedOptions;
  readonly #config: EnclaveConfig;
  readonly #runtime: EnclaveRuntime;
  readonly #secrets: EnclaveSecrets;
  #sealed: SealedChannel | undefined;
  #ingresses: readonly Bridge[] = [];
  #ignoreSignals: (() => void) | undefined;

  /** @internal */
  constructor(
    options: CheckedOptions,
    config: EnclaveConfig,
    { runtime, ...secrets }: EnclaveParts,
  ) {
    this.#options = options;
    this.#config = config;
    this.#runtime = runtime;
    this.#secrets = new EnclaveSecrets({ ...secrets, config, runtime, kms: this.kms });
    notePushedCredentials(this, runtime.service.scope.credentials);
    void runtime.closed.then(() => this.#ignoreSignals?.());
    void runtime.closed.then(() => this.#secrets[Symbol.dispose]());
  }

  /** Name of the application. */
  get name(): string {
    return this.#options.name;
  }

  /** Resolves when the enclave has ended, by {@link Enclave.close}, a signal or `/v1/shutdown`. */
  get closed(): Promise<void> {
    return this.#runtime.closed;
  }

  /**
   * KMS, the NSM and this boot's keys for the application itself, such as to decrypt a key when it starts. No policy is
   * asked, since nobody calls: handlers use `c.var.kms`. Calls are `CredentialsError` until the parent has sent
   * credentials.
   */
  get kms(): KmsService {
    const { service, bootKeys } = this.#runtime;
    const parts = { service, bootKeys, gate: OPEN_GATE, unattestedKmsKey: this.#options.unattestedKmsKey };
    return new KmsService(parts, new RequestRecord("http", NO_CID));
  }

  /** Secrets of the application by name, as in `c.var.secrets`; wiped when the enclave closes. */
  get secrets(): ReadonlyMap<string, SecretBytes> {
    return this.#secrets.handedOver;
  }

  /** Destination of the log, for what happens outside of requests. Nothing secret may be written to it. */
  get logger(): Logger {
    return this.#runtime.logger;
  }

  /** Endpoint that HTTP listens on, with the port that was chosen. */
  get endpoint(): Endpoint {
    return this.#runtime.endpointOf("http") as Endpoint;
  }

  /** Endpoint of TLS that ends inside the enclave, with the port that was chosen; undefined when it is off. */
  get tlsEndpoint(): Endpoint | undefined {
    return this.#runtime.endpointOf("tls");
  }

  /** Endpoint of the control listener, which only the parent reaches; undefined when there is none. */
  get controlEndpoint(): Endpoint | undefined {
    return this.#runtime.endpointOf("control");
  }

  /** Bridges of the ingresses that the application declares, in that order. They close with the enclave. */
  get ingresses(): readonly Bridge[] {
    return this.#ingresses;
  }

  /** @internal */
  async start(app: Hono<EnclaveEnv>): Promise<void> {
    const runtime = this.#runtime;
    try {
      await runtime.openChannels();
      const routeParts = this.#routeParts();
      this.#sealed = routeParts.sealed;
      const parts = { runtime, options: this.#options, routeParts, secrets: this.#secrets.handedOver };
      const composed = composeApp(app, parts);
      const ready = await runtime.prepare();
      const { http, control } = endpointsOf(this.#config);
      if (control?.transport === "unix") await removeStaleSocket(control.path);
      if (control !== undefined) await runtime.serveControl(control, routeParts);
      const fetch = (request: Request, env: HttpCaller) => composed.fetch(request, env);
      await runtime.serve("http", http, runtime.httpHandler(fetch));
      await runtime.serveTls(fetch);
      this.#ingresses = await runtime.openIngresses(this.#options.ingresses, this.#config);
      await this.#secrets.listen();
      // Before the log says that it listens: whoever reads that may end it.
      if (this.#options.handlesSignals) this.#ignoreSignals = listenToSignals(this);
      this.#log(ready);
      await this.#secrets.begin();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Loads the policy file again. A bad one keeps the old one in force, and the log says so. */
  reloadPolicy(): void {
    this.#runtime.reloadPolicy();
  }

  /**
   * Has sealed HTTP use keys that are derived from a shared key: each enclave with that key opens what was sealed to any
   * of them, also behind a load balancer. Documents vouch for the derived key from then on, and follow its rotation.
   *
   * Not guaranteed: that a request is executed once. Whoever carries it can have it executed **once by each enclave**
   * with the key, and once more after each restart, within a minute and a half of its date: `c.var.requestDigest` is the
   * key for what must be done once. Nor that only images which the sender names read it: those that KMS gives the
   * shared key do.
   *
   * @param key Data key, as `sharedKey()` gives it; not owned. When it is disposed, the keys of this boot are used again
   * @param options `anyEnclave: true`, as a sign that this is known
   * @throws {AttestationError} When the NSM, whose time dates are judged by, does not answer
   * @throws {TypeError} When sealed HTTP is off or has a shared key already, the key is a pair, or `anyEnclave` is not true
   */
  async sealWith(key: SharedKey, options: { readonly anyEnclave: true }): Promise<void> {
    const { anyEnclave } = checkFields("options of sealWith", options, ["anyEnclave"]);
    if (anyEnclave !== true) {
      throw new TypeError("anyEnclave must be true: a request may be executed once by each enclave");
    }
    if (key.spec !== "AES_256") throw new TypeError("key must be a data key: its spec must be AES_256");
    if (this.#sealed === undefined) throw new TypeError("Cannot seal with shared key: sealed HTTP is off");
    const { now } = await readBoot(this.kms);
    await this.#sealed.share(key, now);
  }

  /** Accepts no more, finishes what runs, and then wipes credentials and secrets. Closing twice is harmless. */
  close(): Promise<void> {
    return this.#runtime.close();
  }

  /** The same as {@link Enclave.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #routeParts(): RouteParts {
    const parts = this.#runtime.routeParts(this.name, documentEnclave(this.#options));
    return {
      ...parts,
      readiness: async () => ({
        ...this.#options.readiness().parts,
        ...await parts.readiness(),
        ...this.#secrets.readiness,
      }),
      warnings: () => this.#options.readiness().warnings ?? [],
      takeSecret: (name, content) => this.#secrets.takeOverChannel(name, content),
    };
  }

  #log(ready: object): void {
    const { logger, policyName: policy } = this.#runtime;
    const { name, endpoint: http, tlsEndpoint: tls, controlEndpoint: control } = this;
    if (this.#config.envSetup === "SIM") {
      logger.warn("this is a simulation: no hardware vouches for anything");
    }
    if (this.#options.unattestedKmsKey !== undefined) {
      logger.warn(
        "unattestedKmsKey: whoever holds the role, such as the parent, signs with that key as well",
      );
    }
    if (this.#options.isUngated) logger.warn("ungated: the policy is not asked about calls of c.var.kms");
    const { names } = this.#secrets;
    const awaits = names.length === 0 ? undefined : names;
    const ingresses = this.#ingresses.map((bridge) => bridge.endpoint);
    logger.info(
      { name, http, tls, control, ingresses, policy, crypto: describeCrypto(), ready, awaits },
      "listening",
    );
  }
}
