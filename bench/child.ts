import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";

/** A process of ours that answers each line with a line of JSON. */
export class Child implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<void>;
  #errors = "";

  /**
   * Starts it.
   *
   * @param command Program and arguments
   * @param env Over this process's own
   */
  constructor(command: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const [program = "", ...args] = command;
    const child = spawn(program, args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", ...env },
    });
    child.stdin.on("error", () => {});
    child.stderr.on("data", (text) => this.#errors = (this.#errors + text).slice(-MAX_ERROR_LENGTH));
    this.#process = child;
    this.#ended = new Promise((resolve) => {
      child.on("close", () => resolve());
      child.on("error", () => resolve());
    });
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** Process id; 0 when the program could not be started. */
  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /**
   * Reads the next line of its output.
   *
   * @returns The parsed line
   * @throws {ChildDied} When it ended instead
   * @throws {Error} When the line is a {@link Complaint}
   */
  async read<T>(): Promise<T> {
    const { value, done } = await this.#lines.next();
    if (done) {
      await this.#ended;
      throw new ChildDied(this.#errors);
    }
    const answer = JSON.parse(value) as T | Complaint;
    if (isComplaint(answer)) throw new Error(answer.complaint);
    return answer;
  }

  /**
   * @param question Becomes one line of its input
   * @param limitMs Time after which the process is ended, in milliseconds: it may hang
   * @returns The answer
   * @throws {ChildDied} When it ended instead
   */
  async ask<T>(question: unknown, limitMs = LIMIT_MS): Promise<T> {
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), limitMs);
    try {
      this.#process.stdin?.write(`${JSON.stringify(question)}\n`);
      return await this.read<T>();
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.stdin?.end();
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), GRACE_MS);
    await this.#ended;
    clearTimeout(timer);
  }
}

/** Error of a process that ends the benchmark. */
export interface Complaint {
  readonly complaint: string;
}

function isComplaint(answer: unknown): answer is Complaint {
  return typeof answer === "object" && answer !== null && "complaint" in answer;
}

const MAX_ERROR_LENGTH = 2000;

/** Time limit of an answer, in milliseconds: more than any measurement needs on a busy machine. */
const LIMIT_MS = 60_000;

/** Time that a process gets to end, in milliseconds. */
const GRACE_MS = 2000;

/** A process ended without an answer: what it measured took it along. */
export class ChildDied extends Error {
  /** @param errors The end of what it wrote to its standard error */
  constructor(errors: string) {
    super(`The process ended without an answer. ${errors}`);
    this.name = "ChildDied";
  }
}
