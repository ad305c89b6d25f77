import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

/** The variable that names the folder of the bundled servers, built on the host. */
export const BUNDLES_VARIABLE = "ENCLAVE_KMS_TEST_BUNDLES";

const isDeno = "Deno" in globalThis;

/** Command that docs/server.md gives, on the runtime that runs this. */
const COMMAND = isDeno
  ? ["deno", "run", "--quiet", "--no-prompt", "--cached-only", "--unstable-vsock", "--allow-net"].concat(
    ["--allow-read", "--allow-env", "--allow-sys=hostname", "--allow-ffi"],
  )
  : ["node"];

/** The guest is emulated, and a busy machine was seen to take 80 s for a start. */
const PATIENCE_MS = 240_000;

/** The bundled server, or another program, in a process of its own, which inherits the supervisor's `/dev/nsm`. */
export class ServerProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #hasEnded = false;
  #output = "";

  private constructor(
    settings: Readonly<Record<string, string>>,
    denoFlags: readonly string[],
    entry: string,
  ) {
    const [program = "", ...args] = isDeno ? [...COMMAND, ...denoFlags] : COMMAND;
    this.#child = spawn(program, [...args, entry], {
      cwd: "/",
      env: { ...process.env, ...settings },
      stdio: ["ignore", "pipe", "pipe"],
    });
    // Its exit may be heard of before its last words.
    this.#ended = once(this.#child, "close").then(() => (this.#hasEnded = true));
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => this.#output += text);
    }
  }

  /**
   * Starts it, and waits until it listens.
   *
   * @param settings Its environment, besides this process's own
   * @param denoFlags Further permissions on Deno
   * @param entry Another program that says when it listens. Default: the bundled server
   * @param patienceMs Milliseconds for its start
   */
  static async start(
    settings: Readonly<Record<string, string>>,
    denoFlags: readonly string[] = [],
    entry: string = bundledEntry(),
    patienceMs: number = PATIENCE_MS,
  ): Promise<ServerProcess> {
    const server = new ServerProcess(settings, denoFlags, entry);
    try {
      await server.untilLogged('"listening"', 0, patienceMs);
      return server;
    } catch (error) {
      // It would keep its ports from the scenarios that follow.
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** All it has printed. */
  get output(): string {
    return this.#output;
  }

  /** Finds the lines of its log with that message. */
  logged(message: string): Record<string, unknown>[] {
    return this.#output.split("\n").filter((line) => line.includes(`"msg":"${message}"`))
      .map((line) => JSON.parse(line));
  }

  /** Waits until it has printed that, after `from`. */
  async untilLogged(text: string, from = 0, patienceMs = PATIENCE_MS): Promise<void> {
    const endsAt = performance.now() + patienceMs;
    while (!this.#output.includes(text, from)) {
      assert.ok(!this.#hasEnded, `the server ended:\n${this.#output}`);
      assert.ok(performance.now() < endsAt, `the server never said ${text}:\n${this.#output}`);
      await sleep(20);
    }
  }

  /** Sends a signal by the process id: Deno's ChildProcess.kill() sends one signal and no more. */
  signal(signal: "SIGHUP" | "SIGTERM" | "SIGKILL"): void {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid !== undefined && exitCode === null && signalCode === null) process.kill(pid, signal);
  }

  /** @returns The exit code, once it has ended and all of its output is here; null when a signal ended it */
  async exitCode(): Promise<number | null> {
    await this.#ended;
    return this.#child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGKILL");
    await this.#ended;
  }
}

function bundledEntry(): string {
  const folder = process.env[BUNDLES_VARIABLE];
  assert.ok(folder, `${BUNDLES_VARIABLE} is not set: run through npm run test:vsock`);
  return join(folder, isDeno ? "deno" : "node", "lib/enclave-kms/server.js");
}
