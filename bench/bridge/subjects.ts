import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { choosePort } from "../../sim/free_port.ts";
import { commandOf, type Runtime } from "../runtimes.ts";

/** Programs that are compared. */
export type SubjectName = "socat" | "socat -b 65536" | Runtime;

/** Length of a tick of the kernel's clock, in milliseconds. */
const TICK_MS = 10;

/** Bridge that runs, from a TCP port to a unix socket. socat takes one connection, and ends with it. */
export class Subject implements AsyncDisposable {
  /** TCP port of 127.0.0.1. */
  readonly port: number;
  readonly #process: ChildProcess;

  private constructor(port: number, process: ChildProcess) {
    this.port = port;
    this.#process = process;
  }

  /**
   * Starts a bridge.
   *
   * @param name Program
   * @param socket Path of the unix socket that it leads to
   */
  static async start(name: SubjectName, socket: string): Promise<Subject> {
    if (name === "Node" || name === "Deno") {
      const [program = "", ...args] = commandOf(name, "bridge/bridge_process.ts", [socket]);
      const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
      const [line] = await once(child.stdout, "data") as [Uint8Array];
      return new Subject(Number(String(line)), child);
    }
    const port = await choosePort();
    const flags = name === "socat" ? [] : ["-b", "65536"];
    const ends = [`TCP-LISTEN:${port},bind=127.0.0.1,reuseaddr,nodelay`, `UNIX-CONNECT:${socket}`];
    return new Subject(port, spawn("socat", [...flags, ...ends], { stdio: ["ignore", "ignore", "inherit"] }));
  }

  /** Processor time of all threads, in milliseconds, in steps of 10. */
  get cpuMs(): number {
    const fields = this.#read("stat").replace(/^.*\) /s, "").split(" ").map(Number);
    return ((fields[11] ?? 0) + (fields[12] ?? 0)) * TICK_MS;
  }

  /** Resident memory, in KiB. */
  get residentKib(): number {
    return Number(/^VmRSS:\s+(\d+)/m.exec(this.#read("status"))?.[1]);
  }

  /** Ends the process. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill("SIGKILL");
    await once(this.#process, "exit");
  }

  #read(file: string): string {
    return readFileSync(`/proc/${this.#process.pid}/${file}`, "utf8");
  }
}

/** Reads the version of socat; undefined when it is not installed. */
export function socatVersion(): string | undefined {
  try {
    return /socat version (\S+)/.exec(execFileSync("socat", ["-V"], { encoding: "utf8" }))?.[1];
  } catch {
    return undefined;
  }
}
