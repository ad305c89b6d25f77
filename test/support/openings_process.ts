import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { OpeningsCommand } from "./openings_messages.ts";
import { RUNTIME_COMMANDS } from "./runtime_commands.ts";

const CHILD = fileURLToPath(new URL("./openings_child.ts", import.meta.url));

/** A process that opens what it is told to. */
export class OpeningsProcess implements Disposable {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  /** @param runtime A name in {@link RUNTIME_COMMANDS} */
  constructor(runtime: string) {
    const [program = "", ...args] = RUNTIME_COMMANDS[runtime] ?? [];
    this.#child = spawn(program, [...args, CHILD], { stdio: ["pipe", "pipe", "inherit"] });
    this.#answers = createInterface(this.#child.stdout!)[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async tell(command: OpeningsCommand): Promise<readonly string[]> {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error("The process ended");
    return JSON.parse(value) as readonly string[];
  }

  /** Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}
