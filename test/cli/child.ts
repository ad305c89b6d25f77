import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type Simulator, startSimulator } from "../../sim/mod.ts";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import type { Outcome } from "./terminal_double.ts";

const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

/** This runtime, with the rights that cli/README.md names. */
export const RUNTIME: readonly string[] = "Deno" in globalThis
  ? [
    "deno",
    "run",
    "--quiet",
    "--no-prompt",
    "--no-check",
    "--allow-env",
    "--allow-read",
    "--allow-write",
    "--allow-net",
    "--allow-ffi",
  ]
  : ["node"];

/** Options of a child process besides the command line. */
export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly input?: string | undefined;
  /** Instead of this runtime's own. */
  readonly command?: readonly string[] | undefined;
}

/** Runs the command line in a process of its own, on the runtime that the test runs on. */
export function runChild(words: readonly string[], options: ChildOptions = {}): Promise<Outcome> {
  const [program = "", ...args] = options.command ?? RUNTIME;
  const child = spawn(program, [...args, MAIN, ...words], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...pick(["PATH", "HOME", "NODE_COMPILE_CACHE"]), NO_COLOR: "1", ...options.env },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Uint8Array) => stdout += String(chunk));
  child.stderr.on("data", (chunk: Uint8Array) => stderr += String(chunk));
  child.stdin.on("error", () => {});
  child.stdin.end(options.input ?? "");
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? -1, stdout, stderr }));
  });
}

function pick(names: readonly string[]): Record<string, string> {
  const own = names.map((name) => [name, process.env[name]] as const);
  return Object.fromEntries(own.flatMap(([name, value]) => value === undefined ? [] : [[name, value]]));
}

/** Leaves out the progress lines, which a slow machine makes the command print. */
export function withoutProgress(stderr: string): string {
  return stderr.replace(/^enclave-kms: (waiting for KMS|waiting for the NSM|examining)\n/gm, "");
}

/** A simulated enclave that other processes reach: KMS over TCP, the NSM on a unix socket. */
export class Laptop implements AsyncDisposable {
  readonly simulator: Simulator;
  /** For files. */
  readonly folder: string;
  readonly #nsm: AsyncDisposable;

  private constructor(simulator: Simulator, folder: string, nsm: AsyncDisposable) {
    this.simulator = simulator;
    this.folder = folder;
    this.#nsm = nsm;
  }

  static async start(): Promise<Laptop> {
    const simulator = await startSimulator();
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-cli-"));
    const nsm = await simulator.nsm.listen(join(folder, "nsm.sock"));
    const laptop = new Laptop(simulator, folder, nsm);
    laptop.file("ca.pem", simulator.trustedCertificates);
    laptop.file("root.der", simulator.nsm.root);
    return laptop;
  }

  /** The flags that lead to the simulated KMS and NSM. */
  get connection(): readonly string[] {
    const { host, port } = this.simulator.endpoint as TcpEndpoint;
    return [
      "--endpoint",
      `tcp:${host}:${port}`,
      "--trusted-certificates",
      join(this.folder, "ca.pem"),
      ...this.nsm,
    ];
  }

  /** The flags that lead to the simulated NSM. */
  get nsm(): readonly string[] {
    return ["--nsm", join(this.folder, "nsm.sock")];
  }

  /** The environment's variables with credentials. */
  get env(): Readonly<Record<string, string>> {
    const { accessKeyId, secretAccessKey, sessionToken } = this.simulator.credentials;
    return {
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_SESSION_TOKEN: sessionToken,
    };
  }

  /** Writes a file. */
  file(name: string, content: string | Uint8Array): string {
    const path = join(this.folder, name);
    writeFileSync(path, content);
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nsm[Symbol.asyncDispose]();
    await this.simulator.close();
    rmSync(this.folder, { recursive: true });
  }
}
