import { Deadline } from "../../lib/core/deadline.ts";
import { PARENT_CID } from "../../lib/core/endpoint.ts";
import type { SecretBytes } from "../../lib/core/secret_bytes.ts";
import { SecretError } from "../../lib/core/secret_error.ts";
import { DEFAULT_ENCLAVE_CID } from "../../lib/transport/enclave_ports.ts";
import { vsockToListen } from "../../lib/transport/vsock_place.ts";
import type { SecretReceipt } from "../../lib/wire/secret_receipt.ts";
import type { SecretStatement } from "../../lib/wire/signed_secret.ts";
import { fromParentOnly } from "../control_app.ts";
import type { EnclaveConfig } from "../enclave_config.ts";
import { forgetAttested, type KmsService } from "../kms_service.ts";
import type { EnclaveRuntime } from "../runtime.ts";
import { BootSecrets } from "./boot_secrets.ts";
import type { CheckedSecret } from "./checked_secret.ts";
import { CREDENTIALS_NAME, credentialsPort } from "./credentials_port.ts";
import { recordSecrets } from "./record_secrets.ts";
import { SecretPort } from "./secret_port.ts";

/** Parts of {@link EnclaveSecrets}. */
export interface EnclaveSecretsParts {
  /** Declarations. */
  readonly secrets: readonly CheckedSecret[];
  /** Vsock port of each secret that has one, from `secretPorts()`. */
  readonly ports: ReadonlyMap<CheckedSecret, number>;
  /** Settings. */
  readonly config: EnclaveConfig;
  /** Listeners, KMS and the NSM. */
  readonly runtime: EnclaveRuntime;
  /** KMS for the enclave itself. */
  readonly kms: KmsService;
}

/** Connections of one port at once: one is served, the others are told so. */
const MAX_CONNECTIONS = 8;

/** Secrets of an application: their ports, the window in which they arrive, and the record of them in PCR16. */
export class EnclaveSecrets implements Disposable {
  readonly #parts: EnclaveSecretsParts;
  readonly #boot: BootSecrets;

  /** @param parts Declarations, and what they are opened with */
  constructor(parts: EnclaveSecretsParts) {
    const { secrets, config, runtime: { logger }, kms } = parts;
    this.#parts = parts;
    this.#boot = new BootSecrets({
      secrets,
      logger,
      windowMs: config.secretsWindowMs,
      decrypt: (request) => kms.decrypt(request),
      record: (taken) => this.#record(taken),
    });
    for (const { name } of secrets.filter(({ isChosenByParent }) => isChosenByParent)) {
      logger.warn({ secret: name }, "chosenByParent: whoever controls the parent chooses this secret");
    }
  }

  /** Secrets by name: empty until all have arrived and are recorded. */
  get handedOver(): ReadonlyMap<string, SecretBytes> {
    return this.#boot.handedOver;
  }

  /** Whether each secret that must come is there, by its name in `/readyz`. */
  get readiness(): Readonly<Record<string, boolean>> {
    return this.#boot.readiness;
  }

  /** Names of the declared secrets. */
  get names(): readonly string[] {
    return this.#parts.secrets.map(({ name }) => name);
  }

  /**
   * Takes a secret that comes over a channel.
   *
   * @param name Name, as the caller gave it
   * @param content Bytes; the caller wipes them
   * @returns The receipt
   * @throws {SecretError} When it is refused, or no secret of that name comes over a channel
   */
  async takeOverChannel(name: string, content: Uint8Array): Promise<SecretReceipt> {
    const secret = this.#parts.secrets.find((one) => one.name === name && one.source.kind === "sealed");
    if (secret === undefined) {
      throw new SecretError("NAME", "Cannot take secret: none of that name comes over a channel", {
        hint: "Is it declared as sealedSecret()?",
      });
    }
    if (content.length <= secret.maxBytes) return await this.#boot.take(name, content);
    throw new SecretError(
      "TOO_LARGE",
      `Cannot take secret ${name}: it has more than ${secret.maxBytes} bytes`,
      {
        hint: "Is it the right file? Otherwise raise `maxBytes` in its declaration",
      },
    );
  }

  /**
   * Listens for credentials, and for each declared secret.
   *
   * @throws {ConnectionError} When an address is taken, or there is no vsock
   */
  async listen(): Promise<void> {
    const { runtime: { logger, service }, config: { envSetup, ...config }, ports } = this.#parts;
    const timeoutMs = config.secretTimeoutMs;
    const hasPlace = envSetup === "NITRO" || config.simulationFolder !== undefined;
    if (hasPlace && config.credentialsPort !== 0) {
      const port = credentialsPort(service, { timeoutMs, logger });
      await this.#serve(`secret ${CREDENTIALS_NAME}`, config.credentialsPort, port);
    }
    for (const [{ name, maxBytes }, port] of ports) {
      const expectWanted = () => this.#boot.expectWanted(name);
      const take = (content: Uint8Array) => this.#boot.take(name, content);
      const handler = new SecretPort({ name, maxBytes, timeoutMs, expectWanted, take, logger });
      await this.#serve(`secret ${name}`, port, handler);
    }
  }

  /**
   * Opens the window.
   *
   * @returns Resolves when all secrets are recorded and handed over
   * @throws {SecretError} With the fault `MISSING` or `RECORD`
   */
  begin(): Promise<void> {
    return this.#boot.begin();
  }

  /** Wipes all secrets. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#boot[Symbol.dispose]();
  }

  async #serve(name: string, port: number, handler: SecretPort): Promise<void> {
    const { runtime, config } = this.#parts;
    const endpoint = await vsockToListen(DEFAULT_ENCLAVE_CID, port, config.simulationFolder);
    const quietMs = Math.max(config.secretTimeoutMs, config.requestTimeoutMs) * 2;
    const limits = { maxConnections: MAX_CONNECTIONS, quietMs, developmentCid: PARENT_CID };
    await runtime.serve(name, endpoint, fromParentOnly(handler), limits);
  }

  async #record(taken: readonly SecretStatement[]): Promise<void> {
    const { runtime, config } = this.#parts;
    using deadline = new Deadline("record secrets", config.requestTimeoutMs, undefined, "nsm");
    await deadline.race(recordSecrets(runtime.nsm, taken));
    forgetAttested(runtime.bootKeys);
    await runtime.service.forgetDocuments();
  }
}
