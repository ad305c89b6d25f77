import { type ChildProcess, spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { checkFields, checkInteger, checkText } from "../lib/core/checks.ts";
import { Deadline, MAX_TIMEOUT_MS } from "../lib/core/deadline.ts";
import { ConnectionError, LaunchError } from "../lib/core/errors.ts";
import { createFetch } from "../lib/transport/create_fetch.ts";
import { DEFAULT_CONTROL_PORT, DEFAULT_ENCLAVE_CID, ENCLAVE_CIDS } from "../lib/transport/enclave_ports.ts";
import { vsockToConnect } from "../lib/transport/vsock_place.ts";
import type { Environment } from "./kms_proxy_settings.ts";
import { CappedFile } from "./nitro/capped_file.ts";
import type { ConsoleFile } from "./nitro/nitro_enclave.ts";
import type { EnclaveEnd, RunningEnclave } from "./running_enclave.ts";

/** Application that runs as a process in place of an enclave. `command` and `simulationFolder` must be given. */
export interface SimulationLaunchOptions {
  /** Program and its arguments, such as `["node", "main.ts"]`. No shell reads them. */
  readonly command: readonly string[];
  /** Folder in which unix sockets stand for vsock. */
  readonly simulationFolder: string;
  /** Name. Default: `enclave-kms`. */
  readonly name?: string | undefined;
  /** CID that it has in the names of sockets, 4 to 2^32 - 2. Default: 16. */
  readonly cid?: number | undefined;
  /** Port of its control listener; 0 for none. Default: 7099. */
  readonly controlPort?: number | undefined;
  /** Variables for the application. Default: those of this process, without AWS's. */
  readonly environment?: Environment | undefined;
  /** File for its output, which stands for the console. Default: its output goes where this process's goes. */
  readonly consoleFile?: ConsoleFile | undefined;
  /** Milliseconds that it has to end on SIGTERM, 1 to 2147483647; then it is killed. Default: 10000. */
  readonly graceMs?: number | undefined;
  /** Ends the attempt. */
  readonly signal?: AbortSignal | undefined;
}

const FIELDS = [
  "command",
  "simulationFolder",
  "name",
  "cid",
  "controlPort",
  "environment",
  "consoleFile",
  "graceMs",
  "signal",
];

const DEFAULT_CONSOLE_BYTES = 8 << 20;

/** Pause between two looks at whether a leftover has ended. */
const LOOK_MS = 50;

/**
 * Launches an application as a process of this machine, as {@link launchEnclave} does an enclave: for a laptop. It is told
 * by its environment (`ENV_SETUP` is `SIM`, `ENCLAVE_KMS_SIMULATION_FOLDER`). A leftover that answers on its control socket
 * is ended first.
 *
 * @param options Program and folder
 * @returns The process, which runs until it ends or is terminated: disposing it does so
 * @throws {TypeError} When an option is unknown or of a wrong type
 * @throws {RangeError} When a number is out of range
 * @throws {LaunchError} When the program cannot be run, or a leftover does not end
 */
export async function launchSimulation(options: SimulationLaunchOptions): Promise<RunningEnclave> {
  const checked = checkOptions(options);
  await mkdir(checked.simulationFolder, { recursive: true, mode: 0o700 });
  await endLeftover(checked);
  const { command: [program = "", ...args], consoleFile } = checked;
  const child = spawn(program, args, {
    stdio: consoleFile === undefined ? ["ignore", "inherit", "inherit"] : ["ignore", "pipe", "pipe"],
    env: environmentOf(checked),
  });
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (cause) => reject(cannotRun(program, cause)));
  });
  if (consoleFile !== undefined) keepOutput(child, consoleFile);
  return new SimulatedEnclaveProcess(child, checked);
}

type Checked = ReturnType<typeof checkOptions>;

function checkOptions(options: SimulationLaunchOptions) {
  const given = checkFields("simulation options", options, FIELDS);
  const { command } = given;
  if (!Array.isArray(command) || command.length === 0 || command.some((word) => typeof word !== "string")) {
    throw new TypeError('command must name a program, such as ["node", "main.ts"]');
  }
  return {
    command,
    simulationFolder: checkText("simulationFolder", given.simulationFolder, 107),
    name: checkText("name", given.name ?? "enclave-kms", 64),
    cid: checkInteger("cid", given.cid, { ...ENCLAVE_CIDS, default: DEFAULT_ENCLAVE_CID }),
    controlPort: checkInteger("controlPort", given.controlPort, {
      min: 0,
      max: 0xffff_fffe,
      default: DEFAULT_CONTROL_PORT,
    }),
    environment: given.environment ?? withoutAws(process.env),
    consoleFile: given.consoleFile,
    graceMs: checkInteger("graceMs", given.graceMs, { min: 1, max: MAX_TIMEOUT_MS, default: 10_000 }),
    signal: given.signal,
  };
}

/** Leaves out what an enclave would not have: credentials of its parent. */
function withoutAws(environment: Environment): Environment {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith("AWS_")));
}

function environmentOf({ environment, simulationFolder, cid, controlPort }: Checked): NodeJS.ProcessEnv {
  const control = vsockToConnect(cid, controlPort, simulationFolder);
  return {
    ...environment,
    ENV_SETUP: "SIM",
    ENCLAVE_KMS_SIMULATION_FOLDER: simulationFolder,
    CONTROL_PORT: String(controlPort),
    ...(controlPort === 0 || control.transport !== "unix"
      ? {}
      : { ENCLAVE_KMS_CONTROL_SOCKET: control.path }),
  };
}

/** Ends the application that an earlier parent left, and waits until its control socket is dead. */
async function endLeftover({ cid, controlPort, simulationFolder, graceMs, signal }: Checked): Promise<void> {
  if (controlPort === 0) return;
  const ask = createFetch(vsockToConnect(cid, controlPort, simulationFolder), { connectTimeoutMs: 1000 });
  using deadline = new Deadline("end a leftover", graceMs, signal, "enclave");
  try {
    for (;;) {
      const answer = await ask("http://enclave/v1/shutdown", { method: "POST", signal: deadline.signal });
      await answer.body?.cancel();
      await deadline.sleep(LOOK_MS);
    }
  } catch (error) {
    // Nothing listens there, any more or at all.
    if (error instanceof ConnectionError) return;
    signal?.throwIfAborted();
    throw new LaunchError("Cannot launch the enclave: another process has its sockets, and does not end", {
      hint: "Does another parent use the same simulation folder and CID?",
      cause: error,
    });
  }
}

function keepOutput(child: ChildProcess, { path, maxBytes = DEFAULT_CONSOLE_BYTES }: ConsoleFile): void {
  const file = new CappedFile(path, maxBytes);
  for (const output of [child.stdout, child.stderr]) {
    output?.on("data", (chunk: Uint8Array) => file.write(chunk));
    output?.on("error", () => {});
  }
  child.once("close", () => file[Symbol.dispose]());
}

function cannotRun(program: string, cause: Error): LaunchError {
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : cause.name;
  return new LaunchError(`Cannot run ${program}: ${code}`, {
    hint: "Is the command of the simulation right, and its program installed?",
    cause,
  });
}

/** Process that stands for an enclave. */
class SimulatedEnclaveProcess implements RunningEnclave {
  readonly id: string;
  readonly name: string;
  readonly cid: number;
  readonly cpuCount = 0;
  readonly memoryMib = 0;
  /** Its memory and its output are as open as those of an enclave in debug mode. */
  readonly isDebug = true;
  readonly ended: Promise<EnclaveEnd>;
  readonly #child: ChildProcess;
  readonly #graceMs: number;
  #wasAskedFor = false;

  constructor(child: ChildProcess, { name, cid, graceMs }: Checked) {
    this.#child = child;
    this.#graceMs = graceMs;
    this.id = `process ${child.pid ?? 0}`;
    this.name = name;
    this.cid = cid;
    this.ended = new Promise((resolve) =>
      child.once("exit", (code, signal) =>
        resolve({
          atMs: Date.now(),
          reason: signal === null ? `its process ended with ${code}` : `its process was ended by ${signal}`,
          exitCode: code ?? undefined,
          signal: signal ?? undefined,
          wasAskedFor: this.#wasAskedFor,
        }))
    );
  }

  async terminate(): Promise<void> {
    this.#wasAskedFor = true;
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    const cancelled = new AbortController();
    this.#signal(pid, "SIGTERM");
    const kill = sleep(this.#graceMs, undefined, { signal: cancelled.signal })
      .then(() => this.#signal(pid, "SIGKILL"), () => {});
    await this.ended;
    cancelled.abort();
    await kill;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.terminate();
  }

  /** Deno's child.kill() counts as the end of the process, whatever the program does. */
  #signal(pid: number, signal: "SIGTERM" | "SIGKILL"): void {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended meanwhile.
    }
  }
}
