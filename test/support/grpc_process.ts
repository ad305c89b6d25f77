import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { GrpcAnswer, GrpcCommand } from "./grpc_commands.ts";
import type { CallerIdentity } from "./grpc_service.ts";

/** Counts of a {@link GrpcServer}. */
export interface GrpcCounts {
  /** Messages that `Say` got. */
  readonly saidCount: number;
  /** Calls of `Hang`. */
  readonly hangingCount: number;
  /** Calls of `Hang` whose callers have gone. */
  readonly cancelledCount: number;
}

const PROGRAM = fileURLToPath(new URL("./grpc_child.ts", import.meta.url));

/**
 * Servers and callers by @grpc/grpc-js in a process of Node, whatever runtime the test is on. `node:http2` of Deno 2.9.5
 * and 2.9.6 ends the process by an assertion or a segmentation fault when a connection goes away on which calls were made
 * (denoland/deno#36788).
 */
export class GrpcProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: GrpcAnswer) => void>();
  #count = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null) throw new Error("Cannot read what the process answers");
    createInterface({ input: child.stdout }).on("line", (line) => {
      const { id, answer } = JSON.parse(line) as { readonly id: number; readonly answer: GrpcAnswer };
      this.#waiting.get(id)?.(answer);
      this.#waiting.delete(id);
    });
    child.once("exit", (code) => {
      const error = { code: -1, message: `The process of gRPC has ended with ${code}` };
      for (const settle of this.#waiting.values()) settle({ error });
    });
  }

  /**
   * Starts one.
   *
   * @param program The program, where it is bundled
   */
  static async start(program: string = PROGRAM): Promise<GrpcProcess> {
    const child = spawn("node", [program], { stdio: ["pipe", "pipe", "inherit"] });
    await once(child, "spawn");
    return new GrpcProcess(child);
  }

  /** Starts a server in the clear on a free port of 127.0.0.1. */
  async serve(): Promise<GrpcServer> {
    return new GrpcServer(this, await this.ask({ do: "serve" }) as number);
  }

  /**
   * Makes a caller, who connects with the first call.
   *
   * @param port Port of 127.0.0.1
   * @param pem The one certificate to trust. Default: none, and no TLS
   * @param identity Identity of the caller. Default: none
   */
  async call(port: number, pem?: string, identity?: CallerIdentity): Promise<GrpcCaller> {
    const caller = this.#count++;
    await this.ask({ do: "call", caller, port, pem, identity });
    return new GrpcCaller(this, caller);
  }

  /** Has a command obeyed. */
  async ask(command: GrpcCommand): Promise<unknown> {
    const id = this.#count++;
    const answer = await new Promise<GrpcAnswer>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#child.stdin?.write(`${JSON.stringify({ id, command })}\n`);
    });
    if ("value" in answer) return answer.value;
    throw Object.assign(new Error(answer.error.message), { code: answer.error.code });
  }

  /** Ends it, with its servers and callers. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.stdin?.end();
    await ended;
  }
}

/** Server of a {@link GrpcProcess}. */
export class GrpcServer implements AsyncDisposable {
  /** Port of 127.0.0.1. */
  readonly port: number;
  readonly #process: GrpcProcess;

  constructor(process: GrpcProcess, port: number) {
    this.#process = process;
    this.port = port;
  }

  /** Asks what it has counted so far. */
  async counts(): Promise<GrpcCounts> {
    return await this.#process.ask({ do: "counts", port: this.port }) as GrpcCounts;
  }

  /** Ends it, with every call. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.ask({ do: "shut", port: this.port });
  }
}

/** Caller of a {@link GrpcProcess}. */
export class GrpcCaller implements AsyncDisposable {
  readonly #process: GrpcProcess;
  readonly #caller: number;

  constructor(process: GrpcProcess, caller: number) {
    this.#process = process;
    this.#caller = caller;
  }

  /** Has a text echoed. */
  async say(text: string, timeoutMs?: number): Promise<string> {
    return await this.#process.ask({ do: "say", caller: this.#caller, text, timeoutMs }) as string;
  }

  /** Has 4 MiB echoed, as many as a server takes, and tells whether the same came back. */
  async sayLarge(timeoutMs: number): Promise<boolean> {
    return await this.#process.ask({ do: "say-large", caller: this.#caller, timeoutMs }) as boolean;
  }

  /** Has numbers streamed. */
  async count(to: number): Promise<number[]> {
    return await this.#process.ask({ do: "count", caller: this.#caller, to }) as number[];
  }

  /** Waits for an answer that never comes. */
  async hang(timeoutMs: number): Promise<void> {
    await this.#process.ask({ do: "hang", caller: this.#caller, timeoutMs });
  }

  /** Cancels the call that hangs. */
  async cancel(): Promise<void> {
    await this.#process.ask({ do: "cancel", caller: this.#caller });
  }

  /** Closes its connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.ask({ do: "close", caller: this.#caller });
  }
}
