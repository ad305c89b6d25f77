import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe } from "#test";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import { type Parent, runParent, type RunParentOptions } from "../../parent/run_parent.ts";
import type { ParentEvent } from "../../parent/runner/parent_state.ts";
import { readParentSettings } from "../../parent/settings/parent_settings.ts";
import { FlowWorld } from "../../sim/flow/world.ts";
import { until } from "../support/until.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests("Deno");

/** Short times: a test waits for what happens, and for nothing else. */
const TIMES = { intervalMs: 20, firstPauseMs: 20, maxPauseMs: 200 };

class Flow implements AsyncDisposable {
  readonly world: FlowWorld;
  readonly events: ParentEvent[] = [];
  #parent: Parent | undefined;

  constructor(world: FlowWorld) {
    this.world = world;
  }

  static async start(options: Partial<RunParentOptions> & { readonly change?: object } = {}): Promise<Flow> {
    const flow = new Flow(await FlowWorld.start());
    await flow.run(options);
    return flow;
  }

  get parent(): Parent {
    return this.#parent as Parent;
  }

  async run(
    { change, ...options }: Partial<RunParentOptions> & { readonly change?: object } = {},
  ): Promise<Parent> {
    const { world } = this;
    const path = join(world.folder, "parent.json");
    writeFileSync(path, JSON.stringify({ ...world.settings, ...change }));
    return this.#parent = await runParent({
      settings: readParentSettings({}, path),
      environment: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...world.environment },
      onEvent: (event) => this.events.push(event),
      times: TIMES,
      ...options,
    });
  }

  /** Asks the application for a MAC: it answers rightly only with the secret. */
  async serves(text = "hello"): Promise<boolean> {
    const answer = await fetch(`http://127.0.0.1:${this.world.enclavePort}/v1/mac/${text}`);
    const { mac } = await answer.json() as { mac?: string };
    return mac === this.world.mac(text);
  }

  async decrypts(): Promise<number> {
    const url = `http://127.0.0.1:${this.world.enclavePort}/v1/decrypt/`;
    const answer = await fetch(url + encodeURIComponent(this.world.ciphertext));
    await answer.body?.cancel();
    return answer.status;
  }

  /** Process of the enclave. */
  get pid(): number {
    return Number(this.parent.state.enclave?.id.replace("process ", ""));
  }

  get failures(): readonly string[] {
    return this.events.flatMap((event) => event.event === "failure" ? [event.failure.code] : []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parent?.close();
    await this.world[Symbol.asyncDispose]();
  }
}

describe("runParent()", () => {
  test("takes an instance's role to secrets in an enclave, and ends all of it", async () => {
    const flow = await Flow.start();
    {
      await using _flow = flow;
      await flow.parent.ready;
      assert.ok(await flow.serves());
      assert.equal(await flow.decrypts(), 200);
      assert.equal(flow.world.simulator.nsm.pcr(16), flow.world.expectedPcr16);
      const { stage, isReady, credentials, launchCount } = flow.parent.state;
      assert.deepEqual([stage, isReady, launchCount, credentials?.counts.pushed], ["watch", true, 1, 1]);
      const { port } = flow.parent.metricsEndpoint as TcpEndpoint;
      const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      assert.match(page, /^enclave_kms_parent_enclave_ready 1$/m);
      assert.match(
        page,
        /^enclave_kms_parent_service_accepted_total\{service="kms-proxy",address="vsock:5000,8000"\} [1-9]/m,
      );
      assert.match(page, /^enclave_kms_credentials_set\{enclave="flow"\} 1$/m);
      assert.equal((await fetch(`http://127.0.0.1:${port}/readyz`)).status, 200);
      const { pid } = flow;
      await flow.parent.close();
      assert.throws(() => process.kill(pid, 0), "the enclave has ended");
      await assert.rejects(fetch(`http://127.0.0.1:${port}/metrics`));
      const last = JSON.parse(readFileSync(join(flow.world.folder, "last-end.json"), "utf8")) as {
        exitCode?: number;
      };
      assert.equal(last.exitCode, 0, "it ended in good order");
    }
    assert.equal(existsSync(flow.world.folder), false);
  });

  test("launches again and injects again when the enclave dies", async () => {
    await using flow = await Flow.start();
    await flow.parent.ready;
    process.kill(flow.pid, "SIGKILL");
    await until(() => flow.parent.state.launchCount === 2 && flow.parent.state.isReady);
    assert.ok(await flow.serves());
    assert.equal(flow.parent.state.lastEnd?.signal, "SIGKILL");
    assert.deepEqual(flow.failures, ["ERR_LAUNCH"]);
  });

  test("rotates credentials while requests run", async () => {
    await using flow = await Flow.start({ change: { credentialsAheadSeconds: 30 * 24 * 3600 / 2 } });
    await flow.parent.ready;
    const before = flow.world.imds.credentials;
    flow.world.imds.rotate();
    flow.world.simulator.kms.expireCredentials(before);
    // The enclave says that KMS refuses its credentials, and gets others.
    await until(async () => await flow.decrypts() === 200);
    assert.ok((flow.parent.state.credentials?.counts.pushed ?? 0) >= 2);
    assert.equal(flow.parent.state.launchCount, 1);
  });

  test("starts once the metadata service answers, and says meanwhile that it does not", async () => {
    const world = await FlowWorld.start();
    await using flow = new Flow(world);
    await world.imds.close();
    await flow.run();
    await until(() => flow.failures.length > 0);
    assert.match(flow.failures[0] ?? "", /^ERR_IMDS_/);
    assert.deepEqual([flow.parent.state.isReady, flow.parent.state.launchCount], [false, 0]);
    await world.imds.listen();
    await flow.parent.ready;
    assert.ok(await flow.serves());
  });

  test("starts an enclave anew while the metadata service and S3 are down", async () => {
    await using flow = await Flow.start();
    await flow.parent.ready;
    await flow.world.imds.close();
    flow.world.s3.injectFault({ kind: "reset", afterBytes: 0 });
    process.kill(flow.pid, "SIGKILL");
    await until(() => flow.parent.state.launchCount === 2 && flow.parent.state.isReady);
    assert.ok(await flow.serves());
    const notices = flow.events.flatMap((event) => event.event === "notice" ? [event.message] : []);
    assert.ok(notices.some((message) => /the artefacts cannot be read/.test(message)));
    await flow.world.imds.listen();
  });

  test("ends the enclave that an earlier parent left, and starts its own", async () => {
    const world = await FlowWorld.start();
    await using first = new Flow(world);
    await first.run();
    await first.parent.ready;
    const { pid } = first;
    // As if the first parent had vanished: the second one has other state, and finds the enclave only.
    const second = new Flow(world);
    await second.run({ change: { stateFolder: join(world.folder, "second"), kmsProxyPorts: [5001] } });
    try {
      await until(() => second.parent.state.launchCount === 1);
      assert.notEqual(second.pid, pid);
    } finally {
      await second.parent.close();
    }
  });

  test("refuses the state folder of another parent", async () => {
    await using flow = await Flow.start();
    const second = new Flow(flow.world);
    await assert.rejects(second.run(), /parent\.sock|EADDRINUSE|taken/);
    assert.equal(flow.parent.state.stage === "ended", false);
  });
});
