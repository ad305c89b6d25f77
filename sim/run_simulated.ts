import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { STDERR, tryWriteAll } from "../lib/core/write_all.ts";
import { attestedKeyPolicy } from "./kms/policy/key_policy.ts";
import { SimulatedEnvironment } from "./simulated_environment.ts";
import { type Simulator, startSimulator } from "./simulator.ts";

/** Milliseconds between attempts to reach the control listener of a program that starts. */
const RETRY_MS = 100;

/** Milliseconds between pushes of fresh credentials, which live for an hour. */
const ROTATION_MS = 30 * 60_000;

/** Options of {@link runSimulated}. */
export interface RunSimulatedOptions {
  /**
   * Called before the program starts: to make keys and ciphertexts, and to write down what callers in other processes
   * need, such as `simulator.nsm.root`, which they trust in the place of AWS's root.
   */
  readonly prepare?: (simulator: Simulator) => void | Promise<void>;
}

/**
 * Runs a program that uses `enclave-kms/enclave` in a simulated enclave: with credentials pushed, and with a KMS key
 * `alias/simulated` that only this enclave can use. Variables of this process count before those of the simulation.
 * SIGTERM, SIGINT and SIGHUP are handed on to the program.
 *
 * @param command The program and its arguments, such as `["node", "main.ts"]`
 * @param options Preparation
 * @returns The program's exit code, as a shell has it: 128 and its number for a signal, 127 when it cannot be run
 * @throws {TypeError} When no program is named
 * @example
 * ```ts
 * import { runSimulated } from "enclave-kms/sim";
 *
 * await runSimulated(["sh", "-c", 'test "$ENV_SETUP" = SIM']); // 0
 * ```
 */
export async function runSimulated(
  command: readonly string[],
  { prepare }: RunSimulatedOptions = {},
): Promise<number> {
  const [program, ...args] = command;
  if (program === undefined) {
    throw new TypeError('The command must name a program, such as ["node", "main.ts"]');
  }
  await using simulator = await startSimulator();
  const controlSocket = process.env["ENCLAVE_KMS_CONTROL_SOCKET"] || undefined; // credentials are pushed there
  await using environment = await SimulatedEnvironment.create(simulator, { controlSocket });
  const policy = attestedKeyPolicy({ 0: simulator.nsm.pcr(0) });
  await simulator.createKey({ alias: "alias/simulated", policy });
  await prepare?.(simulator);
  const child = spawn(program, args, { stdio: "inherit", env: { ...environment.variables, ...process.env } });
  using _signals = forwardSignals(child);
  const ended = endOf(child, program);
  void pushWhile(child, simulator, environment);
  return await ended;
}

/** Hands signals on. Deno's child.kill() tells it for the exit code, whatever the program does. */
function forwardSignals({ pid }: ChildProcess): Disposable {
  const signals = (["SIGTERM", "SIGINT", "SIGHUP"] as const).map((signal) => ({
    signal,
    forward: () => pid === undefined || process.kill(pid, signal),
  }));
  for (const { signal, forward } of signals) process.on(signal, forward);
  return {
    [Symbol.dispose]() {
      for (const { signal, forward } of signals) process.off(signal, forward);
    },
  };
}

/** Pushes credentials once the program takes them, and fresh ones ahead of their expiration. */
async function pushWhile(
  child: ChildProcess,
  simulator: Simulator,
  environment: SimulatedEnvironment,
): Promise<void> {
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  for (let credentials = simulator.credentials; isRunning();) {
    const isTaken = await environment.pushCredentials(credentials).then(() => true, () => false);
    await sleep(isTaken ? ROTATION_MS : RETRY_MS, undefined, { ref: false });
    if (isTaken && isRunning()) credentials = simulator.rotateCredentials();
  }
}

/** Resolves with the exit code, as a shell has it. */
function endOf(child: ChildProcess, program: string): Promise<number> {
  return new Promise((resolve) => {
    child.once("error", (error) => {
      tryWriteAll(STDERR, `Cannot run ${program}: ${error.message}\n`);
      resolve(127);
    });
    child.once(
      "close",
      (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  });
}
