import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { ServicesDescription } from "../../sim/mod.ts";
import { RUNTIME } from "./child.ts";

const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

/** `enclave-kms sim --json` in a process of its own, on the runtime that the test runs on. */
export class SimulatorProcess implements AsyncDisposable {
  /** Description that it printed. */
  readonly description: ServicesDescription;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown[]>;
  readonly #errors: () => string;

  private constructor(child: ChildProcess, ended: Promise<unknown[]>, line: string, errors: () => string) {
    this.#child = child;
    this.#ended = ended;
    this.#errors = errors;
    this.description = JSON.parse(line) as ServicesDescription;
  }

  /** Starts it, and waits until it is ready. */
  static async start(flags: readonly string[] = []): Promise<SimulatorProcess> {
    const [program = "", ...args] = RUNTIME;
    const { PATH = "", HOME = "" } = process.env;
    const child = spawn(program, [...args, MAIN, "sim", "--json", ...flags], { env: { PATH, HOME } });
    const ended = once(child, "close");
    let [output, errors] = ["", ""];
    child.stderr.on("data", (chunk: Uint8Array) => errors += String(chunk));
    const line = await new Promise<string>((resolve, reject) => {
      child.stdout.on("data", (chunk: Uint8Array) => {
        output += String(chunk);
        if (output.endsWith("\n")) resolve(output);
      });
      child.on("error", reject);
      void ended.then(([code]) => reject(new Error(`sim ended with ${code}: ${errors}`)), reject);
    });
    return new SimulatorProcess(child, ended, line, () => errors);
  }

  /** Standard error so far. */
  get stderr(): string {
    return this.#errors();
  }

  /** Sends a signal, and waits for the exit code and signal. */
  async signal(name: NodeJS.Signals): Promise<unknown[]> {
    // Not child.kill(), which Deno tells for the exit code, whatever the program does.
    process.kill(this.description.pid, name);
    return await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGKILL");
    await this.#ended;
  }
}
