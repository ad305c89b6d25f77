import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { KmsClientOptions } from "../../mod.ts";
import { RUNTIME_COMMANDS } from "./memory_scan.ts";

/** How a process ends. Exit codes it asks for itself are 7. */
export type End = "natural" | "process.exit" | "Deno.exit" | "uncaught" | "rejection" | "caught";

/** What a process is told to do. */
export interface ExitTask {
  readonly options: KmsClientOptions;
  /** Base64. */
  readonly ciphertext: string;
  /** For the decrypt. */
  readonly timeoutMs?: number;
  /** Whether it closes its client. */
  readonly closes: boolean;
  readonly end: End;
}

/** How it went. */
export interface Exit {
  /** `null` when it had to be killed. */
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string[];
  readonly stderr: string;
  /** From the last line on its output to its end, in milliseconds. */
  readonly elapsedMs: number;
}

const CHILD = fileURLToPath(new URL("./exit_child.ts", import.meta.url));

/** Far more than an end takes on a busy machine, and nothing to a call that never returns. */
const KILL_AFTER_MS = 20_000;

/**
 * Runs a process to its end.
 *
 * @param runtime A name in `RUNTIME_COMMANDS`
 * @param task What it is told to do
 * @param stall The function of the double that never returns
 */
export function runToExit(runtime: string, task: ExitTask, stall?: string): Promise<Exit> {
  const [program = "", ...args] = RUNTIME_COMMANDS[runtime] ?? [];
  const child = spawn(program, [...args, CHILD, JSON.stringify(task)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", ...(stall === undefined ? {} : { ENCLAVE_KMS_DOUBLE_STALL: stall }) },
  });
  const kill = setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS);
  let stdout = "";
  let stderr = "";
  let lastOutput = performance.now();
  child.stdout.on("data", (chunk: Uint8Array) => {
    stdout += String(chunk);
    lastOutput = performance.now();
  });
  child.stderr.on("data", (chunk: Uint8Array) => stderr += String(chunk));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(kill);
      const lines = stdout.split("\n").filter((line) => line !== "");
      resolve({ code, signal, stdout: lines, stderr, elapsedMs: performance.now() - lastOutput });
    });
  });
}
