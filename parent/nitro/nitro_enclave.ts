import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import type { EnclaveEnd, RunningEnclave } from "../running_enclave.ts";
import { CappedFile } from "./capped_file.ts";
import type { NitroCli } from "./nitro_cli.ts";
import type { DescribedEnclave } from "./output.ts";

/** File for the output of a console. */
export interface ConsoleFile {
  /** Path. When the file is full, it becomes `<path>.1`. */
  readonly path: string;
  /** Bytes of one file, 1 to 1 GiB. Default: 8 MiB. */
  readonly maxBytes?: number | undefined;
}

const DEFAULT_CONSOLE_BYTES = 8 << 20;

/** Pause before a console that broke off is opened again. */
const CONSOLE_PAUSE_MS = 1000;

/** Facts about an enclave that was launched. */
type Facts = Pick<RunningEnclave, "id" | "name" | "cid" | "cpuCount" | "memoryMib" | "isDebug">;

/** Enclave that nitro-cli launched. It is watched by `describe-enclaves`, as nothing tells of its end by itself. */
export class NitroEnclave implements RunningEnclave {
  readonly id: string;
  readonly name: string;
  readonly cid: number;
  readonly cpuCount: number;
  readonly memoryMib: number;
  readonly isDebug: boolean;
  readonly ended: Promise<EnclaveEnd>;
  readonly #nitro: NitroCli;
  readonly #watching = new AbortController();
  #wasAskedFor = false;
  #terminated: Promise<void> | undefined;

  /**
   * Begins to watch an enclave.
   *
   * @param nitro Program that launched it
   * @param facts Facts about it
   * @param options Pause between two looks, and the console's file
   */
  constructor(
    nitro: NitroCli,
    facts: Facts,
    options: { readonly watchIntervalMs: number; readonly consoleFile?: ConsoleFile | undefined },
  ) {
    this.#nitro = nitro;
    this.id = facts.id;
    this.name = facts.name;
    this.cid = facts.cid;
    this.cpuCount = facts.cpuCount;
    this.memoryMib = facts.memoryMib;
    this.isDebug = facts.isDebug;
    this.ended = this.#watch(options.watchIntervalMs);
    if (facts.isDebug && options.consoleFile !== undefined) void this.#keepConsole(options.consoleFile);
  }

  /** See {@link RunningEnclave.terminate}. */
  terminate(): Promise<void> {
    this.#wasAskedFor = true;
    // Once it failed it may be tried again.
    return this.#terminated ??= this.#end().catch((error: unknown) => {
      this.#terminated = undefined;
      throw error;
    });
  }

  /** The same as {@link terminate}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.terminate();
  }

  async #end(): Promise<void> {
    await this.#nitro.end(this);
    this.#watching.abort();
  }

  async #watch(intervalMs: number): Promise<EnclaveEnd> {
    const { signal } = this.#watching;
    for (;;) {
      await sleep(intervalMs, undefined, { signal, ref: false }).catch(() => {});
      if (signal.aborted) return this.#endOf("it was terminated");
      // A nitro-cli that fails says nothing about the enclave.
      const reason = await this.#nitro.find(this.id).then(reasonOf, () => undefined);
      if (reason !== undefined) return this.#endOf(reason);
    }
  }

  #endOf(reason: string): EnclaveEnd {
    this.#watching.abort();
    return { atMs: Date.now(), reason, wasAskedFor: this.#wasAskedFor };
  }

  /** Writes the console to a file until the enclave has ended. */
  async #keepConsole({ path, maxBytes = DEFAULT_CONSOLE_BYTES }: ConsoleFile): Promise<void> {
    const { signal } = this.#watching;
    using file = new CappedFile(path, maxBytes);
    while (!signal.aborted) {
      const child = spawn(this.#nitro.program, ["console", "--enclave-id", this.id], {
        stdio: ["ignore", "pipe", "ignore"],
        signal,
        killSignal: "SIGKILL",
      });
      child.stdout.on("data", (chunk: Uint8Array) => file.write(chunk));
      await endOf(child);
      child.stdout.destroy();
      await sleep(CONSOLE_PAUSE_MS, undefined, { signal, ref: false }).catch(() => {});
    }
  }
}

function reasonOf(found: DescribedEnclave | undefined): string | undefined {
  if (found === undefined) return "nitro-cli no longer lists it";
  return found.state === "RUNNING" ? undefined : `its state is ${found.state}`;
}

function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
}
