import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Config, startFieldEncryption } from "../../../examples/field-encryption/service.ts";
import type { Enclave } from "../../../enclave/mod.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { attestedTlsFetch } from "../../../lib/channel/node/mod.ts";
import type { TcpEndpoint } from "../../../lib/core/endpoint.ts";
import { createFetch } from "../../../lib/transport/create_fetch.ts";
import { type Simulator, startSimulator } from "../../../sim/mod.ts";
import { pem } from "../../../sim/tls/certificates.ts";
import { PATIENCE_MS, PATIENT } from "../../aws_sdk/fake_services.ts";
import { makeAuthority, makeClient } from "../../enclave/channels/tls_serving.ts";
import { FieldEncryptionWorld } from "../../support/field_encryption_world.ts";
import { until } from "../../support/until.ts";

/** Schemas for most tests. */
export const DOCUMENT = {
  openapi: "3.1.0",
  components: {
    schemas: {
      Customer: {
        type: "object",
        additionalProperties: false,
        properties: {
          id: { type: "integer" },
          name: { type: "string", "x-encrypt": true },
          born: { type: ["string", "null"], "x-encrypt": true },
          score: { type: "number", "x-encrypt": true },
          address: { type: "object", "x-encrypt": true },
          cards: { type: "array", items: { $ref: "#/components/schemas/Card" } },
          notes: { type: "object", additionalProperties: { type: "string", "x-encrypt": true } },
          parent: { $ref: "#/components/schemas/Customer" },
        },
      },
      Card: { type: "object", properties: { number: { type: "string", "x-encrypt": true }, brand: {} } },
      Public: { type: "object", properties: { id: { type: "integer" } } },
    },
  },
};

/** Answer of the service. */
export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** The service in this process, with a world around it and callers with and without a certificate. */
export class RunningService implements AsyncDisposable {
  readonly simulator: Simulator;
  readonly world: FieldEncryptionWorld;
  /** Lines of the log. */
  readonly lines: string[];
  readonly #folder: string;
  readonly #enclave: Enclave;
  readonly #fetch: ReturnType<typeof attestedTlsFetch>;
  readonly #nobody: ReturnType<typeof attestedTlsFetch>;

  private constructor(
    world: { readonly simulator: Simulator; readonly world: FieldEncryptionWorld; readonly folder: string },
    enclave: Enclave,
    lines: string[],
    client: { readonly cert: string; readonly key: string },
  ) {
    this.simulator = world.simulator;
    this.world = world.world;
    this.lines = lines;
    this.#folder = world.folder;
    this.#enclave = enclave;
    const { nsm } = world.simulator;
    const common = {
      pcrs: { 0: nsm.pcr(0) },
      root: nsm.root,
      endpoint: enclave.tlsEndpoint,
      timeoutMs: PATIENCE_MS,
    };
    this.#fetch = attestedTlsFetch({ ...common, cert: client.cert, key: client.key });
    this.#nobody = attestedTlsFetch(common);
  }

  /**
   * Starts it, and pushes credentials.
   *
   * @param config Changes to the settings
   * @param prepare Changes the world before the start. Default: writes {@link DOCUMENT}
   */
  static async start(
    config: Partial<Config> = {},
    prepare: (world: FieldEncryptionWorld) => void | Promise<void> = (world) => {
      world.documents.set("customers.json", JSON.stringify(DOCUMENT));
    },
  ): Promise<RunningService> {
    const folder = mkdtempSync(join(tmpdir(), "ek-fields-"));
    const simulator = await startSimulator({ region: "eu-central-1" });
    const world = await FieldEncryptionWorld.create(simulator, {
      simulationFolder: folder,
      host: "127.0.0.2",
    });
    await prepare(world);
    const authority = await makeAuthority();
    writeFileSync(join(folder, "clients.pem"), pem("CERTIFICATE", authority.certificate));
    const lines: string[] = [];
    const { relay, trustedCertificates } = world;
    const enclave = await startFieldEncryption(
      { dataKeySeconds: 3600, schemaSeconds: 300, ...world.settings, ...config },
      {
        aws: { relay: relay.endpoint, trustedCertificates, ...PATIENT },
        enclave: {
          nsm: keepOpen(simulator),
          trustedCertificates: simulator.trustedCertificates,
          logger: createLogger("info", (line) => lines.push(line)),
          signals: false,
          environment: environmentOf(simulator, folder),
        },
      },
    );
    const running = new RunningService(
      { simulator, world, folder },
      enclave,
      lines,
      await makeClient(authority),
    );
    running.pushCredentials();
    return running;
  }

  /** Gives the enclave credentials, as the parent does. */
  pushCredentials(): void {
    const expiration = new Date(Date.now() + 250_000); // so near that the SDK asks each time
    this.#enclave.kms.updateCredentials({ ...this.world.issueCredentials(), expiration }, { force: true });
  }

  /** Asks `/readyz`. */
  async readiness(): Promise<Answer> {
    const answer = await createFetch(this.#enclave.endpoint)("http://enclave/readyz");
    return { status: answer.status, body: await answer.json() as Answer["body"] };
  }

  /** Waits until it is ready. */
  async untilReady(): Promise<this> {
    await until(async () => (await this.readiness()).status === 200, () => this.lines.slice(-4).join(""));
    return this;
  }

  /** Sends a request over attested TLS, with a client certificate. */
  async post(path: "encrypt" | "decrypt", body: unknown, schema?: string, isNobody = false): Promise<Answer> {
    const answer = await (isNobody ? this.#nobody : this.#fetch)(`https://enclave.internal/v1/${path}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(schema !== undefined && { "x-schema-name": schema }),
      },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
    return { status: answer.status, body: await answer.json() as Answer["body"] };
  }

  /** Sends a request past TLS. */
  async postInClear(path: string): Promise<Answer> {
    const answer = await createFetch(this.#enclave.endpoint)(`http://enclave${path}`, {
      method: "POST",
      body: "{}",
    });
    return { status: answer.status, body: await answer.json() as Answer["body"] };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#enclave.close();
    await this.world[Symbol.asyncDispose]();
    await this.simulator.close();
    rmSync(this.#folder, { recursive: true });
  }
}

/** The NSM, which both the enclave and the plug-in close. */
function keepOpen({ nsm }: Simulator) {
  return { exchange: (request: Uint8Array<ArrayBuffer>) => nsm.exchange(request), [Symbol.dispose]() {} };
}

function environmentOf(simulator: Simulator, folder: string): Record<string, string> {
  const { host, port } = simulator.endpoint as TcpEndpoint;
  return {
    ENV_SETUP: "SIM",
    ENCLAVE_PORT: "0",
    CONTROL_PORT: "0",
    ENCLAVE_KMS_TLS: "tcp:127.0.0.1:0",
    ENCLAVE_KMS_CLIENT_AUTHORITIES_FILE: join(folder, "clients.pem"),
    ENCLAVE_KMS_POLICY_FILE: fileURLToPath(
      new URL("../../../examples/field-encryption/policy.cedar", import.meta.url),
    ),
    ENCLAVE_KMS_REGION: simulator.region,
    ENCLAVE_KMS_KMS: `tcp:${host}:${port}`,
    ENCLAVE_KMS_ENGINE: "direct",
    ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "100000",
    ENCLAVE_KMS_IDLE_TIMEOUT_MS: "200000",
  };
}
