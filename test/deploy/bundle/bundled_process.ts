import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";

/** Flags of Deno in an enclave, and a file for the control listener, which is a vsock port there. */
const DENO = [
  ...["run", "--quiet", "--no-prompt", "--cached-only", "--unstable-vsock", "--allow-net", "--allow-read"],
  ...["--allow-write", "--allow-env", "--allow-sys=hostname", "--allow-ffi"],
];

/** Bundle that runs in a process of its own, on the runtime that runs this. */
export class BundledProcess implements AsyncDisposable {
  /** Lines of its output. */
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #hasEnded = false;

  /**
   * @param folder Folder to start it in
   * @param words File to run, and its arguments
   * @param variables Environment variables beside those of this process
   */
  constructor(folder: string, words: readonly string[], variables: Readonly<Record<string, string>> = {}) {
    const flags = "Deno" in globalThis ? DENO : [];
    this.#child = spawn(process.execPath, [...flags, ...words], {
      cwd: folder,
      env: { ...process.env, NO_COLOR: "1", ...variables },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#ended = once(this.#child, "close").then(() => (this.#hasEnded = true));
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on("line", (line) => this.lines.push(line));
    }
  }

  /** Id of the process. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Waits for its end, and returns its exit code. */
  async end(): Promise<number | null> {
    await this.#ended;
    return this.#child.exitCode;
  }

  /** Waits for a line of its output. */
  async line(part: string): Promise<string> {
    for (;;) {
      const found = this.lines.find((line) => line.includes(part));
      if (found !== undefined) return found;
      // Its exit code may be there before its last line.
      if (this.#hasEnded) throw new Error(`It ended: ${this.lines.join("\n")}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.pid !== undefined) {
      process.kill(this.#child.pid, "SIGKILL");
    }
    await this.#ended;
  }
}
