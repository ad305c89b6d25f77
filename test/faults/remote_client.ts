/**
 * The client that meets the faults, in a process of its own.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { RUNTIME_COMMANDS } from "../support/runtime_commands.ts";
import type { Ask, ClientSetup, CredentialsFeed, FaultySubject, Running } from "./client.ts";
import type { ChildAnswer, ChildCommand } from "./client_child.ts";
import type { Seen } from "./outcome.ts";

const CHILD = fileURLToPath(new URL("./client_child.ts", import.meta.url));

/** See the module. */
export class RemoteClient implements FaultySubject {
  readonly #child: ChildProcess;
  readonly #ended: Promise<never>;
  readonly #waiting = {
    done: [] as (() => void)[],
    asked: [] as (() => void)[],
    seen: [] as ((seen: Seen) => void)[],
  };

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = new Promise((_, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => reject(new Error(`The process ended with ${signal ?? code}`)));
    });
    this.#ended.catch(() => {});
    // What is told to a process that has crashed: how it ended says it.
    child.stdin!.on("error", () => {});
    createInterface(child.stdout!).on("line", (line) => this.#take(JSON.parse(line) as ChildAnswer));
  }

  /**
   * @param runtime A name in {@link RUNTIME_COMMANDS}
   * @param setup Options of its client
   */
  static async start(runtime: string, setup: ClientSetup): Promise<RemoteClient> {
    const [program = "", ...args] = RUNTIME_COMMANDS[runtime] ?? [];
    // The C SDK writes on stderr whatever happens; what ends the process shows in how it ends.
    const child = spawn(program, [...args, CHILD], { stdio: ["pipe", "pipe", "ignore"] });
    const client = new RemoteClient(child);
    await client.#tell({ does: "open", setup });
    return client;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  useCredentials(feed: CredentialsFeed): Promise<void> {
    return this.#tell({ does: "useCredentials", feed });
  }

  /** Lets it keep the plaintext and its credentials until {@link close}. */
  keep(ask: Ask): Promise<void> {
    return this.#tell({ does: "keep", ask });
  }

  decrypt(ask: Ask): Running {
    const asked = new Promise<void>((resolve) => this.#waiting.asked.push(resolve));
    const seen = new Promise<Seen>((resolve) => this.#waiting.seen.push(resolve));
    this.#send({ does: "decrypt", ask });
    const running = { asked: Promise.race([asked, this.#ended]), seen: Promise.race([seen, this.#ended]) };
    // A test that waits for one of them may not get to the other.
    for (const promise of [running.asked, running.seen]) promise.catch(() => {});
    return running;
  }

  /** Closes the client, wipes its credentials, and leaves the process as it is. */
  close(): Promise<void> {
    return this.#tell({ does: "close" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended.catch(() => {});
  }

  async #tell(command: ChildCommand): Promise<void> {
    const done = new Promise<void>((resolve) => this.#waiting.done.push(resolve));
    this.#send(command);
    await Promise.race([done, this.#ended]);
  }

  #send(command: ChildCommand): void {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  #take(answer: ChildAnswer): void {
    if (typeof answer === "object") this.#waiting.seen.shift()?.(answer.seen);
    else this.#waiting[answer].shift()?.();
  }
}
