import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { ROOT } from "./documents.ts";

const COMMAND = "Deno" in globalThis ? ["run", "--quiet", "--no-prompt", "-A", "--unstable-vsock"] : [];

/** A program of an enclave in a process of its own, on the runtime that runs this. */
export class EnclaveProcess implements AsyncDisposable {
  /** Lines of its log, parsed. */
  readonly lines: Record<string, unknown>[] = [];
  readonly #child: ChildProcess;
  readonly #ended: Promise<readonly [code: number | null, signal: string | null]>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, "close") as Promise<[number | null, string | null]>;
  }

  /**
   * Starts a program, and waits until it listens.
   *
   * @param program Path of the program from the root, and its arguments
   * @param variables Environment variables beside those of this process
   */
  static async start(
    program: string | readonly string[],
    variables: Readonly<Record<string, string>>,
  ): Promise<EnclaveProcess> {
    const env = { ...process.env, ...variables };
    const child = spawn(process.execPath, [...COMMAND, ...[program].flat()], {
      cwd: ROOT,
      env,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const running = new EnclaveProcess(child);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const output = createInterface({ input: child.stdout ?? process.stdin });
    output.on("line", (line) => {
      running.lines.push(line.startsWith("{") ? JSON.parse(line) : { line });
      if (line.includes('"msg":"listening"')) resolve();
    });
    void running.#ended.then(() => reject(new Error(`It ended: ${JSON.stringify(running.lines)}`)));
    await promise;
    return running;
  }

  /** URL of its ordinary listener. */
  get url(): string {
    const { http } = this.lines.find(({ msg }) => msg === "listening") as {
      http: { host: string; port: number };
    };
    return `http://${http.host}:${http.port}`;
  }

  /** Sends a signal, and waits for nothing. */
  tell(signal: "SIGUSR2"): void {
    if (this.#child.pid !== undefined) process.kill(this.#child.pid, signal);
  }

  /** Sends a signal, and waits for the end. */
  async signal(
    signal: "SIGTERM" | "SIGINT" | "SIGKILL",
  ): Promise<readonly [code: number | null, signal: string | null]> {
    // Deno's child.kill() tells the signal for the exit code, whatever the process does.
    if (this.#child.pid !== undefined) process.kill(this.#child.pid, signal);
    return await this.#ended;
  }

  /** Waits for the end. */
  get ended(): Promise<readonly [code: number | null, signal: string | null]> {
    return this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGKILL");
    await this.#ended;
  }
}
