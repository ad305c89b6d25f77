import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, test } from "#test";
import { SUPERVISED_VARIABLE } from "../../sim/instruments.ts";
import { createFetch } from "../../lib/transport/mod.ts";
import { bundleServers, MAX_BUNDLE_BYTES, type ServerBundle } from "../../tools/bundle_server.ts";
import { isSysAdmin } from "../support/capabilities.ts";
import { type Enclave, startEnclave } from "../support/engines.ts";
import { until } from "./fixture.ts";

const PLAINTEXT = "shipped in one file";
const POLICY = `permit(principal, action, resource) when { principal is Caller && principal.cid == 3 };
forbid(principal, action == Action::"Decrypt", resource)
  unless { context.encryptionContext.hasTag("tenant") && context.encryptionContext.getTag("tenant") == "a" };`;

const COMMANDS = {
  node: ["node"],
  deno: ["deno", "run", "--quiet", "--no-prompt", "--cached-only", "--unstable-vsock", "--allow-net"].concat(
    // The control socket is a file here, and a vsock port in an enclave.
    ["--allow-read", "--allow-env", "--allow-sys=hostname", "--allow-ffi", `--allow-write=${tmpdir()}`],
  ),
} as const;

const unsupervised = process.env[SUPERVISED_VARIABLE] === undefined;
const SKIPPED = unsupervised ? " (skipped: no /dev/nsm: run through npm test, with a C compiler)" : "";

describe("the bundled server", () => {
  const work = mkdtempSync(join(tmpdir(), "enclave-kms-bundle-"));
  let bundles: ServerBundle[] = [];
  let enclave: Enclave;
  let ciphertext = "";

  beforeAll(async () => {
    bundles = await quietly(() => bundleServers(join(work, "dist")));
    enclave = await startEnclave();
    const { keyId } = await enclave.simulator.createKey();
    const request = { keyId, plaintext: PLAINTEXT, encryptionContext: { tenant: "a" } };
    ciphertext = Buffer.from(await enclave.simulator.encrypt(request)).toString("base64");
    writeFileSync(join(work, "ca.pem"), enclave.simulator.trustedCertificates);
    writeFileSync(join(work, "policy.cedar"), POLICY);
  });
  afterAll(async () => {
    await enclave[Symbol.asyncDispose]();
    rmSync(work, { recursive: true, force: true });
  });

  test("is small, the same in two builds, and without the simulator", async () => {
    const again = await quietly(() => bundleServers(join(work, "again")));
    assert.deepEqual(again.map(({ files }) => files), bundles.map(({ files }) => files));
    for (const { runtime, entry, files, inside } of bundles) {
      const bytes = Object.values(files).reduce((sum, file) => sum + file.bytes, 0);
      assert.ok(bytes < MAX_BUNDLE_BYTES, `${runtime}: ${bytes}`);
      assert.doesNotMatch(readFileSync(entry, "utf8"), /SimulatedKms|SoftwareNsm|sim\/mod/);
      assert.equal("sim" in inside, false);
      assert.equal("koffi" in inside, runtime === "node");
    }
  });

  for (const runtime of ["node", "deno"] as const) {
    test.skipIf(unsupervised)(
      `serves on ${runtime}, from the first request to SIGTERM${SKIPPED}`,
      async () => {
        const bundle = bundles.find((one) => one.runtime === runtime);
        assert.ok(bundle !== undefined);
        await using server = await Running.start(COMMANDS[runtime], bundle, settings());
        assertSeeded(server.output);
        await tryHttp(server);
        await tryKmstool(server);
        assert.equal(await server.stop(), 0);
        const { secretAccessKey, sessionToken = "?" } = enclave.simulator.credentials;
        for (const secret of [secretAccessKey, sessionToken, ciphertext, base64(PLAINTEXT)]) {
          assert.ok(!server.output.includes(secret));
        }
      },
    );
  }

  test("says when it starts that koffi's native part is not where it was", async () => {
    const bundle = bundles.find(({ runtime }) => runtime === "node");
    assert.ok(bundle !== undefined);
    const folder = join(work, "moved");
    cpSync(join(bundle.folder, "lib"), join(folder, "lib"), { recursive: true });
    const entry = join(folder, relative(bundle.folder, bundle.entry));
    await using server = await Running.start(COMMANDS.node, { ...bundle, entry }, settings());
    const line = server.output.split("\n").find((text) => text.includes("the NSM cannot be opened")) ?? "{}";
    const { failure } = JSON.parse(line);
    assert.equal(failure.code, "ERR_LIBRARY_LOAD");
    assert.equal(failure.message, "Cannot call C: koffi's native part is missing");
    assert.match(
      failure.hint,
      /^Install @koromix\/koffi-\S+ in build\/koffi, two folders above this bundle: /,
    );
  });

  function settings(): Record<string, string> {
    const { endpoint, region } = enclave.simulator;
    assert.ok(endpoint.transport === "tcp");
    return {
      ENCLAVE_KMS_REGION: region,
      ENCLAVE_KMS_ENGINE: "direct",
      ENCLAVE_KMS_HTTP: "tcp:127.0.0.1:0",
      ENCLAVE_KMS_KMSTOOL: "tcp:127.0.0.1:0",
      ENCLAVE_KMS_CONTROL: `unix:${join(work, "control.sock")}`,
      ENCLAVE_KMS_KMS: `tcp:${endpoint.host}:${endpoint.port}`,
      ENCLAVE_KMS_TRUSTED_CERTIFICATES_FILE: join(work, "ca.pem"),
      ENCLAVE_KMS_POLICY_FILE: join(work, "policy.cedar"),
      ENCLAVE_KMS_DEVELOPMENT_CID: "3",
    };
  }

  /** Sets the credentials as the parent does. */
  async function pushCredentials(): Promise<void> {
    const ask = createFetch({ transport: "unix", path: join(work, "control.sock") });
    const answer = await ask("http://enclave/v1/credentials", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(enclave.simulator.credentials),
    });
    assert.equal(answer.status, 204);
  }

  async function tryHttp(server: Running): Promise<void> {
    const post = (path: string, body: unknown) =>
      fetch(`http://127.0.0.1:${server.port("http")}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    assert.equal((await post("/v1/decrypt", { ciphertext, encryptionContext: { tenant: "a" } })).status, 503);
    assert.equal((await post("/v1/credentials", enclave.simulator.credentials)).status, 404);
    await pushCredentials();
    const answer = await post("/v1/decrypt", { ciphertext, encryptionContext: { tenant: "a" } });
    assert.deepEqual(await answer.json(), { plaintext: base64(PLAINTEXT) });
    assert.equal((await post("/v1/decrypt", { ciphertext, encryptionContext: { tenant: "b" } })).status, 403);
    const ready = await fetch(`http://127.0.0.1:${server.port("http")}/readyz`);
    assert.deepEqual(await ready.json(), {
      library: true,
      nsm: true,
      credentials: true,
      policy: true,
      warnings: [
        "answers is any: whoever is on the parent reads the plaintexts that are answered in the clear",
        "kmstool answers in the clear: whoever is on the parent reads the plaintexts",
      ],
    });
    writeFileSync(join(work, "policy.cedar"), "permit(");
    server.signal("SIGHUP");
    await until(() => server.output.includes("the old policy stays in force"));
    assert.match(server.output, /the old policy stays in force/);
    writeFileSync(join(work, "policy.cedar"), POLICY);
  }

  async function tryKmstool(server: Running): Promise<void> {
    const socket = connect(server.port("kmstool"), "127.0.0.1");
    const { accessKeyId, secretAccessKey, sessionToken } = enclave.simulator.credentials;
    const messages = [
      {
        Operation: "SetClient",
        AwsAccessKeyId: accessKeyId,
        AwsSecretAccessKey: secretAccessKey,
        AwsSessionToken: sessionToken,
      },
      { Operation: "Decrypt", Ciphertext: ciphertext, EncryptionContext: { tenant: "a" } },
    ];
    socket.end(messages.map((message) => `${JSON.stringify(message)}\0`).join(""));
    let replies = "";
    for await (const chunk of socket) replies += String(chunk);
    assert.equal(replies, `{"Status":"Ok"}\0{"Status":"Ok","Message":"${base64(PLAINTEXT)}"}\0`);
  }
});

/** A server in a process of its own. */
class Running implements AsyncDisposable {
  readonly child: ChildProcess;
  output = "";

  private constructor(command: readonly string[], env: Record<string, string>) {
    const [program = "", ...args] = command;
    // It warns of variables that look like its own, and these are of the tests.
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("ENCLAVE_KMS_"));
    this.child = spawn(program, args, {
      env: { ...Object.fromEntries(inherited), ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child.stdout?.on("data", (chunk) => (this.output += String(chunk)));
    this.child.stderr?.on("data", (chunk) => (this.output += String(chunk)));
  }

  static async start(command: readonly string[], { entry }: ServerBundle, env: Record<string, string>) {
    const running = new Running([...command, entry], env);
    for (let tries = 0; tries < 5 && !running.output.includes('"listening"'); tries++) {
      await until(() => running.output.includes('"listening"') || running.child.exitCode !== null);
    }
    assert.match(running.output, /"listening"/, running.output);
    return running;
  }

  port(protocol: "http" | "kmstool"): number {
    const line = this.output.split("\n").find((text) => text.includes('"listening"')) ?? "{}";
    return JSON.parse(line)[protocol].port;
  }

  async stop(): Promise<number | null> {
    const exited = once(this.child, "exit");
    this.signal("SIGTERM");
    await exited;
    return this.child.exitCode;
  }

  /** Sends a signal by the process id: Deno's ChildProcess.kill() sends one signal and no more. */
  signal(signal: "SIGHUP" | "SIGTERM" | "SIGKILL"): void {
    if (this.child.pid !== undefined && this.child.exitCode === null) process.kill(this.child.pid, signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGKILL");
    return Promise.resolve();
  }
}

/** Asserts that the line about the kernel's entropy is the first one. */
function assertSeeded(output: string): void {
  const { level, entropy } = JSON.parse(output.split("\n")[0] ?? "{}");
  const counts = isSysAdmin();
  assert.equal(level, counts ? "info" : "warn");
  assert.deepEqual([entropy.outcome, entropy.byteLength], [counts ? "credited" : "mixed", 512]);
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** Runs work without its output: the list of contents belongs to the build, not to the tests. */
async function quietly<T>(work: () => Promise<T>): Promise<T> {
  const { log } = console;
  console.log = () => {};
  try {
    return await work();
  } finally {
    console.log = log;
  }
}
