/**
 * Faults of each part around a running parent: a typed error or a metric in bounded time, and then service. The enclave is
 * launched by a fake nitro-cli, which starts the application as a process.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe } from "#test";
import { launchEnclave } from "../../parent/launch_enclave.ts";
import { KmsProxy } from "../../parent/kms_proxy.ts";
import { type Parent, runParent } from "../../parent/run_parent.ts";
import type { ParentEvent, ParentFailure } from "../../parent/runner/parent_state.ts";
import { readParentSettings } from "../../parent/settings/parent_settings.ts";
import { FlowWorld, RUN_FILE } from "../../sim/flow/world.ts";
import { FakeNitroCli } from "../support/fake_nitro_cli.ts";
import { until } from "../support/until.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests();

class Instance implements AsyncDisposable {
  readonly world: FlowWorld;
  readonly nitro = new FakeNitroCli();
  readonly events: ParentEvent[] = [];
  readonly #requestTimeoutMs: number;
  #parent: Parent | undefined;

  constructor(world: FlowWorld, requestTimeoutMs: number) {
    this.world = world;
    this.#requestTimeoutMs = requestTimeoutMs;
    this.mendNitro();
  }

  /** Lets nitro-cli work, for the first time or again. */
  mendNitro(): void {
    const { world } = this;
    const [application = ""] = (world.settings["command"] as readonly string[]).slice(-1);
    this.nitro.startProcesses([...RUN_FILE, application], {
      ...world.environment,
      ENV_SETUP: "SIM",
      ENCLAVE_KMS_REQUEST_TIMEOUT_MS: String(this.#requestTimeoutMs),
      ENCLAVE_KMS_SIMULATION_FOLDER: world.folder,
    });
  }

  /** @param requestTimeoutMs Time that the enclave gives a request, in milliseconds */
  static async create(requestTimeoutMs = 50_000): Promise<Instance> {
    return new Instance(await FlowWorld.start(), requestTimeoutMs);
  }

  get parent(): Parent {
    return this.#parent as Parent;
  }

  get failures(): readonly ParentFailure[] {
    return this.events.flatMap((event) => event.event === "failure" ? [event.failure] : []);
  }

  /** Starts the parent, with nitro-cli's time limit and further settings. */
  async start(
    { nitroMs = 60_000, ...change }: { nitroMs?: number; [setting: string]: unknown } = {},
  ): Promise<void> {
    const { world, nitro } = this;
    const path = join(world.folder, "parent.json");
    writeFileSync(path, JSON.stringify({ ...world.settings, ...change }));
    const options = { eifPath: nitro.eifPath, nitroCli: nitro.path, name: "flow", watchIntervalMs: 50 };
    this.#parent = await runParent({
      settings: readParentSettings({}, path),
      launch: (signal) => launchEnclave({ ...options, timeoutMs: nitroMs, signal }),
      onEvent: (event) => this.events.push(event),
      times: { intervalMs: 20, firstPauseMs: 20, maxPauseMs: 200 },
    });
  }

  async failure(condition: (failure: ParentFailure) => boolean = () => true): Promise<ParentFailure> {
    await until(() => this.failures.some(condition), () => JSON.stringify(this.events.slice(-5)));
    return this.failures.find(condition) as ParentFailure;
  }

  async ask(path: string): Promise<{ readonly mac?: string; readonly length?: number }> {
    const answer = await fetch(`http://127.0.0.1:${this.world.enclavePort}${path}`);
    return await answer.json() as { readonly mac?: string };
  }

  /** Waits until the enclave is ready, and uses its secret. */
  async expectService(): Promise<void> {
    await until(() => this.parent.state.isReady, () => JSON.stringify(this.events.slice(-5)));
    assert.equal((await this.ask("/v1/mac/a")).mac, this.world.mac("a"));
  }

  async decrypts(): Promise<boolean> {
    return (await this.ask(`/v1/decrypt/${encodeURIComponent(this.world.ciphertext)}`)).length !== undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parent?.close();
    this.nitro[Symbol.dispose]();
    await this.world[Symbol.asyncDispose]();
  }
}

describe("a parent whose nitro-cli", () => {
  test("hangs: each try ends in time, and the enclave is launched when it is well again", async () => {
    await using instance = await Instance.create();
    const { nitro } = instance;
    nitro.replace("describe-enclaves", "exec sleep 3600");
    await instance.start({ nitroMs: 1000 });
    const { code, stage, message } = await instance.failure();
    assert.deepEqual([code, stage], ["ERR_TIMEOUT", "launch"]);
    assert.match(message, /describe-enclaves: no answer from nitro-cli within 1000 ms/);
    assert.equal(instance.parent.state.isReady, false);
    instance.mendNitro();
    await instance.parent.ready;
    await instance.expectService();
  });

  test("fails: its error by name, and then the enclave", async () => {
    await using instance = await Instance.create();
    const { nitro } = instance;
    nitro.replace("run-enclave", "fail E27 27");
    await instance.start();
    const { code, message, hint } = await instance.failure();
    assert.equal(code, "ERR_LAUNCH");
    assert.match(message, /E27 InsufficientMemoryAvailable$/);
    assert.match(hint, /allocator\.yaml/);
    instance.mendNitro();
    await instance.expectService();
  });

  test("hangs while the enclave serves: the enclave is not taken for ended", async () => {
    await using instance = await Instance.create();
    await instance.start();
    await instance.parent.ready;
    instance.nitro.replace("describe-enclaves", "fail E39 39");
    const before = instance.nitro.calls.length;
    await until(() => instance.nitro.calls.length > before + 4);
    await instance.expectService();
    assert.equal(instance.parent.state.launchCount, 1);
    instance.mendNitro();
  });

  test("no longer lists the enclave, which died: launched and injected again", async () => {
    await using instance = await Instance.create();
    await instance.start();
    await instance.parent.ready;
    process.kill(instance.nitro.pid, "SIGKILL");
    await until(() => instance.parent.state.launchCount === 2);
    await instance.expectService();
    assert.equal(instance.parent.state.lastEnd?.reason, "nitro-cli no longer lists it");
  });

  test("is asked to end the enclave when the parent ends", async () => {
    const instance = await Instance.create();
    await instance.start();
    await instance.parent.ready;
    await instance.parent.close();
    assert.deepEqual(instance.nitro.ids, []);
    await instance[Symbol.asyncDispose]();
  });
});

describe("a parent whose artefacts", () => {
  test("are missing: the failure names the artefact, and service follows once it is there", async () => {
    await using instance = await Instance.create();
    const { s3 } = instance.world;
    await instance.start({ ageKeySource: "s3://other/age-key" });
    const { code, stage } = await instance.failure();
    assert.deepEqual([code, stage], ["ERR_ARTEFACT", "artefacts"]);
    assert.equal(instance.parent.state.launchCount, 0, "nothing is launched without them");
    s3.createBucket("other");
    s3.putObject("other", "age-key", instance.world.artefact("age-key"));
    await instance.parent.ready;
    await instance.expectService();
  });

  test("are not what the enclave pins: it refuses, and says why; then the right one is taken", async () => {
    await using instance = await Instance.create();
    const { s3 } = instance.world;
    const good = instance.world.artefact("key-shares");
    const bad = good.slice();
    bad[bad.length - 1] = (bad.at(-1) ?? 0) ^ 1;
    s3.putObject("sealed", "key-shares", bad);
    await instance.start();
    // On a busy machine another failure may come first, and another launch after it.
    const { code } = await instance.failure(({ stage }) => stage === "inject");
    assert.match(code, /^ERR_SECRET/);
    assert.equal(instance.parent.state.isReady, false);
    s3.putObject("sealed", "key-shares", good);
    await instance.expectService();
  });
});

describe("a parent whose proxy to KMS", () => {
  test("goes and comes back: requests fail meanwhile, and then KMS decrypts again", async () => {
    // The whole of it passes while the proxy is away.
    await using instance = await Instance.create(20_000);
    const { settings, folder: simulationFolder } = instance.world;
    const open = () => {
      const host = String(settings["kmsProxyDestHost"]);
      const port = Number(settings["kmsProxyDestPort"]);
      return KmsProxy.open({ host, port, allow: [{ name: host, port }], simulationFolder });
    };
    const first = await open();
    await instance.start({ kmsProxyEnable: false });
    await instance.parent.ready;
    await until(() => instance.decrypts());
    await first[Symbol.asyncDispose]();
    assert.equal(await instance.decrypts(), false);
    assert.equal(instance.parent.state.launchCount, 1);
    await using _second = await open();
    await until(() => instance.decrypts());
    await instance.expectService();
  });
});

describe("a parent whose metadata service", () => {
  for (
    const [name, fault, code] of [
      ["never answers", { kind: "silence" }, "ERR_IMDS_SILENT"],
      ["knows version 1 only", { kind: "versionOneOnly" }, "ERR_IMDS_VERSION_1"],
      ["is switched off", { kind: "answer", status: 403, body: "Forbidden" }, "ERR_IMDS_FORBIDDEN"],
      ["answers garbage", { kind: "answer", status: 200, body: "\u0000<html>{" }, "ERR_IMDS_"],
    ] as const
  ) {
    test(`${name}: a typed failure in bounded time, and service after it`, async () => {
      await using instance = await Instance.create();
      instance.world.imds.injectFault(fault);
      await instance.start();
      const failure = await instance.failure();
      assert.equal(failure.stage, "credentials");
      assert.ok(failure.code.startsWith(code), failure.code);
      assert.equal(instance.parent.state.launchCount, 0);
      instance.world.imds.clearFaults();
      await instance.expectService();
    });
  }
});
