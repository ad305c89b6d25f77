/**
 * Application in the enclave that meets the faults: a handler that decrypts and one that asks the NSM, in the clear and
 * sealed.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Enclave, enclaveApp, secretAnswer, startEnclave } from "../../enclave/mod.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { sealedFetch } from "../../lib/channel/mod.ts";
import { createFetch } from "../../lib/transport/mod.ts";
import { revealBytes } from "../support/disguise.ts";
import type { CredentialsFeed, FaultySubject, Running } from "./client.ts";
import type { World } from "./world.ts";

const POLICY = `permit(principal, action in [Action::"Decrypt", Action::"GetAttestation"], resource);`;

/** Ways to the application. */
export const WAYS = ["clear", "sealed"] as const;

/** Answer to one request. */
export interface Answered {
  readonly status: number;
  readonly text: string;
}

/** Its credentials are those that the parent pushed last. */
export class FaultyApplication implements FaultySubject {
  readonly lines: string[];
  readonly #enclave: Enclave;
  readonly #folder: string;
  readonly #ways: Readonly<Record<typeof WAYS[number], typeof fetch>>;

  private constructor(world: World, enclave: Enclave, folder: string, lines: string[]) {
    this.lines = lines;
    this.#enclave = enclave;
    this.#folder = folder;
    const clear = createFetch(enclave.endpoint);
    const { nsm } = world.simulator;
    const sealed = sealedFetch("http://enclave/", { pcrs: { 0: nsm.pcr(0) }, root: nsm.root, fetch: clear });
    this.#ways = { clear: clear as typeof fetch, sealed: sealed as unknown as typeof fetch };
  }

  /**
   * Starts the application, with the world's credentials.
   *
   * @param world Surroundings
   * @param timeoutMs Deadline of its requests
   */
  static async start(world: World, timeoutMs: number): Promise<FaultyApplication> {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-faults-"));
    writeFileSync(join(folder, "policy.cedar"), POLICY);
    const { region, trustedCertificates } = world.simulator;
    const { host, port } = world.relay.endpoint;
    const lines: string[] = [];
    const enclave = await startEnclave(createApp(world), {
      name: "faults",
      nsm: world.nsm,
      trustedCertificates,
      logger: createLogger("debug", (line) => lines.push(line)),
      signals: false,
      environment: {
        ENV_SETUP: "SIM",
        ENCLAVE_PORT: "0",
        ENCLAVE_KMS_CONTROL_SOCKET: join(folder, "control.sock"),
        ENCLAVE_KMS_POLICY_FILE: join(folder, "policy.cedar"),
        ENCLAVE_KMS_ENGINE: "direct",
        ENCLAVE_KMS_KMS: `tcp:${host}:${port}`,
        ENCLAVE_KMS_REGION: region,
        ENCLAVE_KMS_REQUEST_TIMEOUT_MS: String(timeoutMs),
        ENCLAVE_KMS_IDLE_TIMEOUT_MS: "120000",
      },
    });
    const application = new FaultyApplication(world, enclave, folder, lines);
    await world.giveCredentials(application);
    return application;
  }

  /** Pushes credentials as the parent does. */
  async useCredentials(feed: CredentialsFeed): Promise<void> {
    if (feed.gives !== "values") {
      throw new TypeError(`A parent cannot push credentials that are ${feed.gives}`);
    }
    const text = (bytes: readonly number[]) => new TextDecoder().decode(revealBytes(bytes));
    const { accessKeyId, secretAccessKey, sessionToken } = feed;
    const push = createFetch(this.#enclave.controlEndpoint!);
    const { status } = await push("http://enclave/v1/credentials", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        accessKeyId,
        secretAccessKey: text(secretAccessKey),
        ...(sessionToken && { sessionToken: text(sessionToken) }),
      }),
    });
    if (status !== 204) throw new Error(`The credentials were not taken: ${status}`);
  }

  /** Replaces the policy by one that cannot say yes, or that does not load; or puts it back. */
  usePolicy(cedar: string = POLICY): void {
    writeFileSync(join(this.#folder, "policy.cedar"), cedar);
    this.#enclave.reloadPolicy();
  }

  /**
   * Asks for one of its routes.
   *
   * @param way Channel
   * @param path Path of the route
   */
  async ask(way: typeof WAYS[number], path = "/v1/open"): Promise<Answered> {
    const answer = await this.#ways[way](`http://enclave${path}`, { method: "POST" });
    return { status: answer.status, text: await answer.text() };
  }

  /** Sends a request for the world, which measures its bytes. Its outcome is not looked at. */
  decrypt(): Running {
    return { asked: Promise.resolve(), seen: this.ask("clear").then(() => ({ plaintext: [] })) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#enclave.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function createApp({ ask: { ciphertext, keyId } }: World): ReturnType<typeof enclaveApp> {
  const request = { ciphertext: new Uint8Array(Buffer.from(ciphertext, "base64")), keyId };
  const app = enclaveApp();
  app.post("/v1/open", async (c) => {
    using secret = await c.var.kms.decrypt(request);
    return secretAnswer(c, ["plaintext", secret]);
  });
  app.post("/v1/document", async (c) => {
    await c.var.kms.generateAttestation({ nonce: new Uint8Array(32) });
    return c.text("made");
  });
  return app;
}
