/**
 * The way of credentials from an instance's role to a decrypt in an enclave: metadata service, pusher, port 7100, KMS.
 *
 * @module
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "#test";
import { type Enclave, enclaveApp } from "../../../enclave/mod.ts";
import type { TcpEndpoint } from "../../../lib/core/endpoint.ts";
import { createFetch, type Fetch } from "../../../lib/transport/mod.ts";
import {
  CredentialPusher,
  type CredentialPusherOptions,
  imdsCredentials,
  type PushEvent,
  sendCredentials,
  watchReadiness,
} from "../../../parent/mod.ts";
import { type SimulatedImds, startImds } from "../../../sim/mod.ts";
import { SecretsLab } from "../../enclave/secrets/secrets_lab.ts";
import { until } from "../../support/until.ts";

const PLAINTEXT = "attack at dawn";
const LONG = { timeoutMs: 60_000, tryTimeoutMs: 60_000, env: {} };

/** Enclave with one route that decrypts, its metadata service, and the parent between them. */
class World implements AsyncDisposable {
  readonly lab: SecretsLab;
  readonly imds: SimulatedImds;
  readonly events: PushEvent[] = [];
  readonly #ciphertext: string;
  #enclave: Enclave | undefined;

  private constructor(lab: SecretsLab, imds: SimulatedImds, ciphertext: string) {
    this.lab = lab;
    this.imds = imds;
    this.#ciphertext = ciphertext;
  }

  static async start(): Promise<World> {
    const lab = await SecretsLab.create();
    const issueCredentials = () => lab.simulator.kms.issueCredentials();
    const imds = await startImds({ issueCredentials, lifetimeMs: 3_600_000 });
    const ciphertext = await lab.simulator.encrypt({ keyId: lab.keyArn, plaintext: PLAINTEXT });
    const world = new World(lab, imds, Buffer.from(ciphertext).toString("base64"));
    await world.boot();
    return world;
  }

  /** Boots the enclave, the first time or anew. */
  async boot(): Promise<void> {
    await this.#enclave?.close();
    const policy = join(this.lab.folder, "policy.cedar");
    writeFileSync(policy, "permit (principal, action, resource);");
    const app = enclaveApp().get("/plaintext", async (c) => {
      using plaintext = await c.var.kms.decrypt({ ciphertext: this.#ciphertext });
      return c.text(new TextDecoder().decode(plaintext.bytes));
    });
    this.#enclave = await this.lab.start([], { ENCLAVE_KMS_POLICY_FILE: policy }, app as never);
  }

  /** Way to the enclave that runs at present. */
  readonly fetch: Fetch = (input, init) => {
    if (this.#enclave === undefined) return Promise.reject(new Error("no enclave"));
    return createFetch(this.#enclave.endpoint as TcpEndpoint)(input, init);
  };

  push(options: Partial<CredentialPusherOptions> = {}): CredentialPusher {
    const { imds, lab: { folder: simulationFolder } } = this;
    return CredentialPusher.start({
      source: imdsCredentials({ endpoint: imds.endpoint, ...LONG }),
      send: (credentials, { signal }) =>
        sendCredentials({ enclaveCid: 16, simulationFolder, credentials, signal }),
      watch: watchReadiness(this.fetch),
      watchEveryMs: 20,
      maxPauseMs: 20,
      sendTimeoutMs: 60_000,
      onEvent: (event) => this.events.push(event),
      ...options,
    });
  }

  async decrypt(): Promise<string> {
    const answer = await this.fetch("http://enclave/plaintext");
    return answer.status === 200 ? await answer.text() : `${answer.status} ${await answer.text()}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#enclave?.close();
    await this.imds.close();
    await this.lab[Symbol.asyncDispose]();
  }
}

describe("credentials from the instance's role to KMS", () => {
  test("arrive, and the enclave is ready only then", async () => {
    await using world = await World.start();
    assert.match(await world.decrypt(), /^503 .*ERR_CREDENTIALS/);
    await using pusher = world.push();
    await until(() => pusher.state.enclave === "ready");
    assert.equal(await world.decrypt(), PLAINTEXT);
    const { accessKeyId } = world.imds.credentials;
    assert.equal(
      pusher.state.credentials?.accessKeyId,
      `${accessKeyId.slice(0, 4)}...${accessKeyId.slice(-4)}`,
    );
    const shown = JSON.stringify([world.events, pusher.state, world.lab.lines]);
    for (const secret of [world.imds.credentials.secretAccessKey, world.imds.credentials.sessionToken]) {
      assert.ok(!shown.includes(secret));
    }
  });

  test("rotate while requests run, and none of them fails", async () => {
    await using world = await World.start();
    await using pusher = world.push();
    await until(() => pusher.state.enclave === "ready");
    let isOver = false;
    const outcomes: string[] = [];
    const worker = async () => {
      while (!isOver) outcomes.push(await world.decrypt());
    };
    const workers = [worker(), worker(), worker(), worker()];
    for (let rotation = 1; rotation <= 5; rotation++) {
      const before = world.imds.credentials;
      world.imds.rotate();
      await pusher.pushNow();
      // Requests that began before have their answer; AWS lets the old ones live on for long.
      const { length } = outcomes;
      await until(() => outcomes.length >= length + 6);
      world.lab.simulator.kms.expireCredentials(before);
    }
    isOver = true;
    await Promise.all(workers);
    assert.ok(outcomes.length >= 30);
    assert.deepEqual([...new Set(outcomes)], [PLAINTEXT]);
    assert.equal(pusher.state.generation, 6);
  });

  test("come again after a restart of the metadata service, of the parent, and of the enclave", async () => {
    await using world = await World.start();
    {
      await using pusher = world.push({
        source: imdsCredentials({ endpoint: world.imds.endpoint, env: {} }),
      });
      await until(() => pusher.state.enclave === "ready");
      await world.imds.close();
      world.imds.rotate();
      world.imds.forgetTokens();
      // The old ones are sent, for there are no others.
      await pusher.pushNow();
      const failed = world.events.flatMap((event) => event.type === "failed" ? [event.failure] : []);
      assert.deepEqual([...new Set(failed.map(({ code }) => code))], ["ERR_IMDS_UNREACHABLE"]);
      assert.equal(await world.decrypt(), PLAINTEXT);
      await world.imds.listen();
      await until(() => pusher.state.generation === 2 && pusher.state.isDelivered);
      assert.equal(await world.decrypt(), PLAINTEXT);
    }
    assert.equal(await world.decrypt(), PLAINTEXT);
    await using pusher = world.push();
    await until(() => pusher.state.isDelivered && pusher.state.enclave === "ready");
    assert.equal(await world.decrypt(), PLAINTEXT);

    await world.boot();
    await until(() => pusher.state.counts.restarts > 0);
    await until(() => pusher.state.enclave === "ready");
    assert.equal(await world.decrypt(), PLAINTEXT);
  });

  test("come again when KMS refuses them: the source has others by then", async () => {
    await using world = await World.start();
    await using pusher = world.push();
    await until(() => pusher.state.enclave === "ready");
    const before = world.imds.credentials;
    world.imds.rotate();
    world.lab.simulator.kms.expireCredentials(before);
    assert.match(await world.decrypt(), /ERR_CREDENTIALS/);
    await until(() => pusher.state.generation === 2 && pusher.state.enclave === "ready");
    assert.equal(await world.decrypt(), PLAINTEXT);
  });

  test("are refused when the enclave has later ones, which stay", async () => {
    await using world = await World.start();
    await using later = world.push({ watch: undefined });
    await until(() => later.state.isDelivered);
    const { accessKeyId, secretAccessKey, sessionToken } = world.lab.simulator.credentials;
    const source = { accessKeyId, secretAccessKey, sessionToken, expiration: Date.now() + 60_000 };
    await using pusher = world.push({ source });
    await until(() => pusher.state.counts.sendFailed > 0);
    assert.match(pusher.state.failure?.message ?? "", /refused it with ERR_CREDENTIALS_OLDER/);
    assert.equal(await world.decrypt(), PLAINTEXT);
  });
});
