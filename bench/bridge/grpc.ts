import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { commandOf, type Runtime } from "../runtimes.ts";
import { median } from "../statistics.ts";
import { ECHO } from "./grpc_process.ts";

const QUESTION_BYTES = 200;

/** Server of gRPC, and the ways to it: directly, and through both halves of a bridge on each runtime. */
export class GrpcWays implements AsyncDisposable {
  /** Port of 127.0.0.1 by way. */
  readonly ports = new Map<Runtime | "direct", number>();
  readonly #folder = mkdtempSync(join(tmpdir(), "enclave-kms-bench-"));
  readonly #children: ChildProcess[] = [];

  /**
   * Starts all of them.
   *
   * @param runtimes Runtimes of the bridges; the server and its caller are on Node
   */
  static async start(runtimes: readonly Runtime[]): Promise<GrpcWays> {
    const ways = new GrpcWays();
    const direct = await ways.#start("Node", "bridge/grpc_process.ts", []);
    ways.ports.set("direct", direct);
    for (const runtime of runtimes) {
      const folder = mkdtempSync(join(ways.#folder, "half-"));
      await ways.#start(runtime, "bridge/half_process.ts", ["inside", folder, String(direct)]);
      ways.ports.set(runtime, await ways.#start(runtime, "bridge/half_process.ts", ["outside", folder]));
    }
    return ways;
  }

  /**
   * Calls one after the other over one connection.
   *
   * @param way Way to the server
   * @param count Number of calls
   * @returns Median time of a call, in microseconds, without the first quarter
   */
  async ask(way: Runtime | "direct", count: number): Promise<number> {
    const credentials = grpc.credentials.createInsecure();
    // Each round has a connection of its own.
    const options = { "grpc.use_local_subchannel_pool": 1 };
    const client = new grpc.Client(`127.0.0.1:${this.ports.get(way)}`, credentials, options);
    const question = Buffer.alloc(QUESTION_BYTES, 1);
    const times: number[] = [];
    for (let turn = 0; turn < count; turn++) {
      const startedAt = performance.now();
      await new Promise<void>((resolve, reject) => {
        client.makeUnaryRequest(
          ECHO.path,
          ECHO.requestSerialize,
          ECHO.responseDeserialize,
          question,
          (error) => error === null ? resolve() : reject(error),
        );
      });
      times.push((performance.now() - startedAt) * 1000);
    }
    client.close();
    return median(times.slice(count >> 2));
  }

  /** Ends them. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    }
    rmSync(this.#folder, { recursive: true });
  }

  async #start(runtime: Runtime, script: string, args: readonly string[]): Promise<number> {
    const [program = "", ...rest] = commandOf(runtime, script, args);
    const child = spawn(program, rest, { stdio: ["ignore", "pipe", "inherit"] });
    this.#children.push(child);
    const [line] = await once(child.stdout, "data") as [Uint8Array];
    return Number(String(line));
  }
}
