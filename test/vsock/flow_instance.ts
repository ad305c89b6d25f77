/**
 * An instance in the guest, for the scenarios `flow`: AWS around it, a nitro-cli that starts the application as a process,
 * and `enclave-kms parent` as another one. In the guest the enclave has the guest's own CID, which no enclave on an
 * instance has, and whatever it is sent comes from CID 1.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createFetch } from "../../lib/transport/create_fetch.ts";
import { FlowWorld, RUN_FILE } from "../../sim/flow/world.ts";
import { SUPERVISED_VARIABLE } from "../../sim/instruments.ts";
import type { Simulator } from "../../sim/simulator.ts";
import { ageEncrypt, WITHOUT_AGE } from "../support/age.ts";
import { type Enclave, startEnclave } from "../support/engines.ts";
import { FakeNitroCli } from "../support/fake_nitro_cli.ts";
import { GrpcProcess } from "../support/grpc_process.ts";
import { Proxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { flowProgram } from "./bundle_flow.ts";
import { GUEST_CID } from "./guest_addresses.ts";
import { BUNDLES_VARIABLE } from "./server_process.ts";

/** TCP port of the parent that leads to the application's server of gRPC. */
export const GRPC_PORT = 50_051;

/** Everything is emulated on one processor. */
export const PATIENCE_MS = 150_000;

const CALLER = fileURLToPath(new URL("../support/grpc_caller.py", import.meta.url));
const PYTHON = "/usr/bin/python3";

/** Encrypts as an operator does by Debian's age. */
const sealByAge = (secret: Uint8Array, recipient: string) => ageEncrypt([recipient], secret);

/** Event of the parent's log. */
export type LogLine = Readonly<Record<string, unknown>>;

/** Instance with its metadata service, S3, KMS, nitro-cli, and nothing that runs on it yet. */
export class FlowInstance implements AsyncDisposable {
  readonly world: FlowWorld;
  readonly nitro: FakeNitroCli = new FakeNitroCli();
  /** S3 as the parent reaches it, which can go away and come back. */
  readonly s3: Proxy;
  readonly #device: Enclave;
  readonly #folder: string;
  readonly #ask = createFetch({ transport: "vsock", cid: GUEST_CID, port: 8080 }, {
    connectTimeoutMs: PATIENCE_MS,
    idleTimeoutMs: PATIENCE_MS,
  });

  private constructor(device: Enclave, world: FlowWorld, s3: Proxy) {
    this.#device = device;
    this.world = world;
    this.s3 = s3;
    this.#folder = join(world.folder, "guest");
    mkdirSync(this.#folder);
    this.#scriptNitro();
  }

  /** Makes the instance, and what an operator put into S3. */
  static async create(): Promise<FlowInstance> {
    const device = await startEnclave({ region: "eu-central-1" });
    const world = await FlowWorld.start(device.simulator, WITHOUT_AGE === "" ? sealByAge : undefined);
    const { hostname, port } = new URL(world.s3.endpoint);
    const s3 = new Proxy({ transport: "tcp", host: hostname, port: Number(port) });
    await s3.start();
    return new FlowInstance(device, world, s3);
  }

  /** NSM and KMS. */
  get simulator(): Simulator {
    return this.#device.simulator;
  }

  /** Asks the application for something, over vsock as the parent does. */
  async ask(path: string): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
    const answer = await this.#ask(`http://enclave${path}`);
    return { status: answer.status, body: await answer.json() as Record<string, unknown> };
  }

  /** Has the application use its secret, and compares what comes with the operator's own. */
  async expectSecret(text: string): Promise<void> {
    assert.deepEqual(await this.ask(`/v1/mac/${text}`), { status: 200, body: { mac: this.world.mac(text) } });
  }

  /** Has the application decrypt, and tells what came: `200`, or the status and code of a refusal. */
  async decrypt(): Promise<string> {
    const { status, body } = await this.ask(`/v1/decrypt/${encodeURIComponent(this.world.ciphertext)}`);
    return status === 200 ? "200" : `${status} ${body["code"]}`;
  }

  /** Calls the application's server of gRPC by @grpc/grpc-js. */
  async callGrpc(): Promise<void> {
    await using peers = await GrpcProcess.start();
    const caller = await peers.call(GRPC_PORT);
    assert.equal(await caller.say("hello", PATIENCE_MS), "hello");
    assert.equal((await caller.count(200)).length, 200);
  }

  /** Calls it by Python's grpc, where that is installed. */
  async callGrpcByPython(): Promise<string> {
    if (spawnSync(PYTHON, ["-c", "import grpc"], { stdio: "ignore" }).status !== 0) {
      return "without Python's: python3-grpcio is not installed on the host";
    }
    const child = spawn(PYTHON, [CALLER, String(GRPC_PORT)], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (chunk) => output += String(chunk));
    const [code] = await once(child, "close");
    const expected = "say hello\ncount True\nlarge True\nhang DEADLINE_EXCEEDED\nhang CANCELLED\n";
    assert.deepEqual([code, output], [0, expected]);
    return "by Python's, too";
  }

  /** Starts `enclave-kms parent`. */
  async startParent(): Promise<FlowParent> {
    const config = join(this.#folder, "parent.json");
    const { simulationFolder: _, command: __, enclavePort: ___, metricsPort: ____, ...common } =
      this.world.settings;
    const { port } = this.s3.endpoint as { readonly port: number };
    const settings = {
      ...common,
      envSetup: "NITRO",
      eifPath: this.nitro.eifPath,
      nitroCli: this.nitro.path,
      enclaveCid: GUEST_CID,
      s3Endpoint: `http://127.0.0.1:${port}`,
      stateFolder: this.#folder,
      ingress: [{ port: GRPC_PORT, enclavePort: 50_051 }],
      readinessSeconds: 400,
    };
    writeFileSync(config, JSON.stringify(settings));
    return await FlowParent.start(config, this.nitro);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.nitro[Symbol.dispose]();
    await this.s3[Symbol.asyncDispose]();
    await this.world[Symbol.asyncDispose]();
    await this.#device[Symbol.asyncDispose]();
  }

  /** Lets nitro-cli start the application as a process. */
  #scriptNitro(): void {
    const ca = join(this.#folder, "ca.pem");
    writeFileSync(ca, this.simulator.trustedCertificates);
    const variables = {
      ENV_SETUP: "NITRO",
      ENCLAVE_KMS_REGION: "eu-central-1",
      ENCLAVE_KMS_ENGINE: "direct",
      ENCLAVE_KMS_TRUSTED_CERTIFICATES_FILE: ca,
      ENCLAVE_KMS_POLICY_FILE: join(this.world.folder, "policy.cedar"),
      ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "60000",
      ENCLAVE_KMS_IDLE_TIMEOUT_MS: String(PATIENCE_MS),
      FLOW_PINS: JSON.stringify(this.world.pins),
    };
    // The supervisor finds the NSM by a process or its ancestors, and what nitro-cli starts has none.
    const socket = join(process.env[SUPERVISED_VARIABLE] ?? "", `nsm-${process.pid}.sock`);
    const link = 'ln -sf "$0" "$(dirname "$0")/nsm-$$.sock" && exec "$@"';
    const program = flowProgram(process.env[BUNDLES_VARIABLE] ?? "", "application");
    this.nitro.startProcesses(["sh", "-c", link, socket, ...RUN_FILE, program], variables);
  }
}

/** The program `enclave-kms parent`, and its log. */
export class FlowParent implements AsyncDisposable {
  readonly events: LogLine[] = [];
  readonly #child: ChildProcess;
  readonly #nitro: FakeNitroCli;
  /** Place in the log behind the last `ready` that was waited for. */
  #seen = 0;

  private constructor(child: ChildProcess, nitro: FakeNitroCli) {
    this.#child = child;
    this.#nitro = nitro;
    if (child.stdout === null) throw new TypeError("The parent must have its output piped");
    createInterface({ input: child.stdout }).on("line", (line) => this.events.push(JSON.parse(line)));
  }

  /**
   * Starts it.
   *
   * @param config Path of its configuration
   * @param nitro Its nitro-cli, for messages
   */
  static async start(config: string, nitro: FakeNitroCli): Promise<FlowParent> {
    const entry = flowProgram(process.env[BUNDLES_VARIABLE] ?? "", "enclave_kms");
    const [program = "", ...args] = [...RUN_FILE, entry, "parent", "--config", config];
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    const parent = new FlowParent(child, nitro);
    await once(child, "spawn");
    return parent;
  }

  /** Waits for a line of its log, from a place on. */
  async logged(isIt: (line: LogLine) => boolean, from = 0): Promise<LogLine> {
    const find = () => this.events.slice(from).find(isIt);
    await until(() => find() !== undefined || this.#hasEnded(), () => this.#describe());
    const found = find();
    assert.ok(found, `the parent ended: ${this.#describe()}`);
    return found;
  }

  /** Waits until it says that an enclave is ready that was launched since the last time. */
  async nextReady(): Promise<LogLine> {
    const found = await this.logged(({ event, afterMs }) => event === "ready" && afterMs !== 0, this.#seen);
    this.#seen = this.events.indexOf(found) + 1;
    return found;
  }

  /** Ends it by a signal, waits until it has ended, and tells its exit code; null when the signal ended it. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null> {
    const { pid } = this.#child;
    if (pid !== undefined && !this.#hasEnded()) {
      const ended = once(this.#child, "exit");
      // By the process id: Deno's ChildProcess.kill() takes the signal for the end, whatever the process makes of it.
      process.kill(pid, signal);
      await ended;
    }
    return this.#child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGKILL");
  }

  #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  #describe(): string {
    return `${JSON.stringify(this.events.slice(-5))}\n${this.#nitro.output.slice(-2000)}`;
  }
}
