import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "#test";
import { type HttpServer, serve } from "../../../lib/transport/serve.ts";
import { parentSocket } from "../../../parent/runner/status_server.ts";
import { FakeNitroCli, FIRST_ID } from "../../support/fake_nitro_cli.ts";
import { until } from "../../support/until.ts";
import { runHere } from "../terminal_double.ts";

const STATE = { stage: "watch", isReady: true, failureCount: 0, enclave: { id: FIRST_ID } };
const FAILURE = { message: "Cannot run nitro-cli run-enclave: E27", hint: "More memory" };

/** Parent that answers with what the test says, and nitro-cli. */
class Parent implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "enclave-kms-check-"));
  readonly nitro = new FakeNitroCli();
  answer: () => Response | Promise<Response> = () => Response.json(STATE);
  #server: HttpServer | undefined;

  static async start(): Promise<Parent> {
    const parent = new Parent();
    parent.nitro.add({ EnclaveName: "enclave-kms", EnclaveID: FIRST_ID, EnclaveCID: 16 });
    const endpoint = parentSocket(parent.folder);
    parent.#server = await serve(() => Promise.resolve(parent.answer()), { endpoint });
    return parent;
  }

  check(wanted: string, { folder = this.folder, args = [] as readonly string[] } = {}) {
    return runHere(["parent", "--check", wanted, ...args], {
      STATE_FOLDER: folder,
      NITRO_CLI: this.nitro.path,
      EIF_PATH: this.nitro.eifPath,
      KMS_PROXY_ENABLE: "false",
    });
  }

  /** Stops listening. */
  async close(): Promise<void> {
    await this.#server?.close({ graceMs: 0 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    this.nitro[Symbol.dispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

describe("enclave-kms parent --check", () => {
  test("is content with an enclave that runs, by nitro-cli's word, and with one that says that it is ready", async () => {
    await using parent = await Parent.start();
    const running = await parent.check("running");
    assert.deepEqual([running.code, running.stdout], [0, `${FIRST_ID} is RUNNING\n`]);
    assert.deepEqual(parent.nitro.calls, ["describe-enclaves"]);
    const ready = await parent.check("ready");
    assert.deepEqual([ready.code, ready.stdout], [0, "the enclave is ready\n"]);
  });

  for (const state of ["TERMINATING", "EMPTY"]) {
    test(`ends with 1 when nitro-cli says ${state}`, async () => {
      await using parent = await Parent.start();
      parent.nitro.add({ EnclaveName: "enclave-kms", EnclaveID: FIRST_ID, State: state });
      const { code, stderr } = await parent.check("running");
      assert.equal(code, 1);
      assert.match(stderr, new RegExp(`its state is ${state}`));
    });
  }

  test("ends with 1 when nitro-cli does not list the enclave, fails, or prints what is none of its answers", async () => {
    await using parent = await Parent.start();
    parent.nitro.kill();
    const gone = await parent.check("running");
    assert.equal(gone.code, 1);
    assert.match(gone.stderr, /nitro-cli does not list it/);
    for (
      const [script, expected] of [["fail E11 11", /E11 SocketError/], [
        "echo RUNNING",
        /no JSON of it/,
      ]] as const
    ) {
      parent.nitro.replace("describe-enclaves", script);
      const { code, stderr } = await parent.check("running");
      assert.equal(code, 1, script);
      assert.match(stderr, expected);
    }
  });

  test("has patience with a parent that begins, and with one that ends, and does not call them ready", async () => {
    await using parent = await Parent.start();
    for (const stage of ["credentials", "launch", "drain", "ended"]) {
      parent.answer = () =>
        Response.json({ ...STATE, stage, isReady: false, enclave: undefined }, { status: 503 });
      assert.equal((await parent.check("running")).code, 0, stage);
      const { code, stderr } = await parent.check("ready");
      assert.equal(code, 1);
      assert.match(stderr, new RegExp(`at the step ${stage}`));
    }
    assert.deepEqual(parent.nitro.calls, []);
  });

  const seenNext: readonly (readonly [string, object, number, RegExp])[] = [
    ["has begun to end it", { stage: "drain" }, 0, /^the parent is ending$/m],
    ["has ended it", { stage: "ended", isReady: false, enclave: undefined }, 0, /^the parent is ending$/m],
    ["has launched another", { enclave: { id: "i-0-enc2" } }, 0, /^i-0-enc2 is RUNNING$/m],
    ["has seen nothing of it", {}, 1, /nitro-cli does not list it/],
    ["was ready", { isReady: false }, 1, /nitro-cli does not list it/],
    ["has begun to launch another", { stage: "launch", enclave: undefined }, 0, /there is no enclave yet/],
    ["gives up", { stage: "pause", enclave: undefined, failureCount: 1 }, 1, /there is none/],
  ];
  for (const [what, next, code, expected] of seenNext) {
    test(`asks the parent again before it counts what nitro-cli said: it ${what}`, async () => {
      await using parent = await Parent.start();
      parent.nitro.add({ EnclaveName: "enclave-kms", EnclaveID: "i-0-enc2", EnclaveCID: 17 });
      let seen = 0;
      parent.answer = () => {
        if (seen++ === 0) parent.nitro.kill();
        return Response.json(seen === 1 ? STATE : { ...STATE, ...next });
      };
      const { stdout, stderr, ...end } = await parent.check("running");
      assert.equal(end.code, code, stderr);
      assert.match(stdout + stderr, expected);
    });
  }

  test("is content when the parent has ended while nitro-cli was asked", async () => {
    await using parent = await Parent.start();
    const { promise: isAsked, resolve } = Promise.withResolvers<void>();
    parent.answer = () => (resolve(), Response.json(STATE));
    parent.nitro.replace("describe-enclaves", "while [ ! -e closed ]; do sleep 0.02; done; fail E11 11");
    const check = parent.check("running");
    await isAsked;
    await until(() => parent.nitro.calls.length > 0, () => "nitro-cli is not asked");
    await parent.close();
    writeFileSync(join(parent.nitro.folder, "closed"), "");
    const { code, stdout, stderr } = await check;
    assert.deepEqual([code, stdout], [0, "the parent has ended\n"], stderr);
  });

  test("has none with a parent that failed, and tells the last failure with its hint", async () => {
    await using parent = await Parent.start();
    const failed = { ...STATE, stage: "pause", isReady: false, failureCount: 1, lastFailure: FAILURE };
    parent.answer = () => Response.json({ ...failed, enclave: undefined }, { status: 503 });
    const { code, stderr } = await parent.check("running");
    assert.equal(code, 1);
    assert.match(stderr, /there is none\. The last failure: Cannot run nitro-cli run-enclave: E27/);
    assert.match(stderr, /hint: More memory/);
  });

  test("ends with 2 when no parent runs, and when what listens there is none", async () => {
    await using parent = await Parent.start();
    const answers = [
      "hello",
      "null",
      "[]",
      "{}",
      JSON.stringify({ ...STATE, stage: "party" }),
      '{"stage":"watch"}',
    ];
    for (const text of answers) {
      parent.answer = () => new Response(text);
      const { code, stderr } = await parent.check("ready");
      assert.equal(code, 2, text);
      assert.match(stderr, /Cannot read the state of the parent/, text);
    }
    await parent.close();
    const { code, stderr } = await parent.check("running");
    assert.equal(code, 2);
    assert.match(stderr, /none runs with this state folder/);
  });

  test("ends with 2, and the message, when the configuration is malformed or gone for a moment", async () => {
    await using parent = await Parent.start();
    const path = join(parent.folder, "parent.json");
    const args = ["--config", path];
    const gone = await parent.check("running", { args });
    assert.deepEqual([gone.code, gone.stdout], [2, ""]);
    assert.match(gone.stderr, /^enclave-kms parent: The parent's configuration .* cannot be read$/m);
    for (
      const [text, expected] of [
        ["", /is not JSON/],
        ['{"cpuCount": 2', /is not JSON/],
        ["[]", /must be a JSON object/],
        ['{"cpuCount": "many"}', /cpuCount: expected a whole number/],
      ] as const
    ) {
      writeFileSync(path, text);
      const { code, stderr } = await parent.check("running", { args });
      assert.equal(code, 2, text);
      assert.match(stderr, expected);
    }
    writeFileSync(path, "{}");
    assert.equal((await parent.check("running", { args })).code, 0);
    assert.deepEqual(parent.nitro.calls, ["describe-enclaves"]);
  });

  test("ends with 2 in bounded time when the parent never answers", async () => {
    await using parent = await Parent.start();
    const { promise, resolve } = Promise.withResolvers<Response>();
    parent.answer = () => promise;
    const { code, stderr } = await parent.check("ready", { args: ["--timeout-ms", "200"] });
    resolve(new Response());
    assert.equal(code, 2);
    assert.match(stderr, /ERR_TIMEOUT/);
  });

  test("asks nobody in a simulation, where the parent sees the end itself", async () => {
    await using parent = await Parent.start();
    const path = join(parent.folder, "parent.json");
    const settings = { envSetup: "SIM", command: ["true"], simulationFolder: parent.folder };
    writeFileSync(path, JSON.stringify(settings));
    const { code, stdout } = await parent.check("running", { args: ["--config", path] });
    assert.deepEqual([code, stdout], [0, `${FIRST_ID} runs\n`]);
    assert.deepEqual(parent.nitro.calls, []);
  });

  test("is told the folder", async () => {
    const { code, stderr } = await runHere(["parent", "--check", "ready"], {
      EIF_PATH: "/a",
      AWS_REGION: "eu-central-1",
    });
    assert.equal(code, 1);
    assert.match(stderr, /stateFolder \(STATE_FOLDER\) must be set for --check/);
  });
});
