import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { ExitTask } from "./exit_task.ts";
import { RUNTIME_COMMANDS } from "./runtime_commands.ts";

/** End of a process. */
export interface Exit {
  /** `null` when it was killed. */
  readonly code: number | null;
  readonly stdout: readonly string[];
  readonly stderr: string;
}

const CHILD = fileURLToPath(new URL("./exit_child.ts", import.meta.url));

/**
 * Runs a process to its end. One that never ends hangs its test, which the runner ends and names.
 *
 * @param runtime A name in `RUNTIME_COMMANDS`
 * @param task Task of the process
 * @param stall The function of the double that never returns
 */
export function runToExit(runtime: string, task: ExitTask, stall: string | undefined): Promise<Exit> {
  const [program = "", ...args] = RUNTIME_COMMANDS[runtime] ?? [];
  const plan = stall === undefined ? {} : { ENCLAVE_KMS_DOUBLE_STALL: stall };
  const child = spawn(program, [...args, CHILD, JSON.stringify(task)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", ...plan },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Uint8Array) => stdout += String(chunk));
  child.stderr.on("data", (chunk: Uint8Array) => stderr += String(chunk));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      const lines = stdout.split("\n").filter((line) => line !== "");
      resolve({ code, stdout: lines, stderr });
    });
  });
}
