import { setTimeout as sleep } from "node:timers/promises";
import { LaunchError } from "../../lib/core/errors.ts";
import { findNitroError } from "./error_names.ts";
import {
  checkTerminateAnswer,
  type DescribedEnclave,
  type EnclaveDescription,
  readDescribeAnswer,
  readRunAnswer,
} from "./output.ts";
import { runProgram } from "./run_program.ts";

/** Milliseconds for a command that only asks, or ends. */
const SHORT_TIMEOUT_MS = 30_000;

/** Looks at whether an enclave that was ended is gone, and the pause between two. */
const LOOKS = 20;
const LOOK_MS = 250;

/** Enclave to run. */
export interface RunRequest {
  /** Name, which must not begin with a dash. */
  readonly name: string;
  /** Absolute path of the image. */
  readonly eifPath: string;
  /** CID. */
  readonly cid: number;
  /** Number of CPUs. */
  readonly cpuCount: number;
  /** Memory in MiB. */
  readonly memoryMib: number;
  /** Whether in debug mode. */
  readonly debug: boolean;
}

/** Program nitro-cli. Each call runs it once, with a time limit; a program that exceeds it is killed. */
export class NitroCli {
  /** Name or path of the program. */
  readonly program: string;
  readonly #runTimeoutMs: number;
  readonly #shortTimeoutMs: number;

  /**
   * Names the program.
   *
   * @param program Name, looked up in PATH, or path
   * @param runTimeoutMs Milliseconds for `run-enclave`; the other commands have 30000, or this if it is less
   */
  constructor(program: string, runTimeoutMs: number) {
    this.program = program;
    this.#runTimeoutMs = runTimeoutMs;
    this.#shortTimeoutMs = Math.min(SHORT_TIMEOUT_MS, runTimeoutMs);
  }

  /**
   * Lists the enclaves of this instance.
   *
   * @param signal Ends the wait
   * @throws {LaunchError} When it fails, or its answer is malformed
   * @throws {TimeoutError} When it does not end in time
   */
  async describe(signal?: AbortSignal): Promise<readonly DescribedEnclave[]> {
    return readDescribeAnswer(await this.#run(["describe-enclaves"], this.#shortTimeoutMs, signal));
  }

  /**
   * Runs an enclave. When it fails, the enclave may be there all the same.
   *
   * @param request Enclave to run
   * @param signal Ends the wait
   * @returns The enclave that there is now, which may be another one than was wanted
   * @throws {LaunchError} When it fails, or its answer is malformed
   * @throws {TimeoutError} When it does not end in time
   */
  async run(request: RunRequest, signal?: AbortSignal): Promise<EnclaveDescription> {
    const { name, eifPath, cid, cpuCount, memoryMib, debug } = request;
    const args = [
      ["--enclave-name", name],
      ["--eif-path", eifPath],
      ["--enclave-cid", String(cid)],
      ["--cpu-count", String(cpuCount)],
      ["--memory", String(memoryMib)],
      debug ? ["--debug-mode"] : [],
    ].flat();
    return readRunAnswer(await this.#run(["run-enclave", ...args], this.#runTimeoutMs, signal));
  }

  /**
   * Looks for an enclave.
   *
   * @param id Id of the enclave
   * @param signal Ends the wait
   * @returns undefined when there is none of that id
   * @throws {LaunchError} When nitro-cli fails, or its answer is malformed
   * @throws {TimeoutError} When it does not end in time
   */
  async find(id: string, signal?: AbortSignal): Promise<DescribedEnclave | undefined> {
    return (await this.describe(signal)).find((enclave) => enclave.id === id);
  }

  /**
   * Ends an enclave, and waits until nitro-cli no longer lists it: until then its memory is not free. One that has ended
   * already is no error.
   *
   * @param enclave Id and name of the enclave
   * @param signal Ends the wait
   * @throws {LaunchError} When nitro-cli fails, its answer is malformed, or the enclave stays
   * @throws {TimeoutError} When nitro-cli does not end in time
   */
  async end(
    enclave: { readonly id: string; readonly name?: string | undefined },
    signal?: AbortSignal,
  ): Promise<void> {
    const { id, name = id } = enclave;
    try {
      const args = ["terminate-enclave", "--enclave-id", id];
      checkTerminateAnswer(await this.#run(args, this.#shortTimeoutMs, signal), id);
    } catch (error) {
      if (await this.find(id, signal) === undefined) return;
      throw error;
    }
    for (let look = 0; look < LOOKS; look++) {
      if (await this.find(id, signal) === undefined) return;
      await sleep(LOOK_MS, undefined, { signal });
    }
    throw new LaunchError(`Cannot end the enclave ${name}: it was ended, and is still listed`, {
      hint: "Does nitro-enclaves-allocator.service run? See /var/log/nitro_enclaves",
    });
  }

  async #run(args: readonly string[], timeoutMs: number, signal: AbortSignal | undefined): Promise<string> {
    const { stdout, stderr, exitCode } = await runProgram(this.program, args, { timeoutMs, signal });
    if (exitCode === 0) return stdout;
    const found = findNitroError(stderr, exitCode);
    const reason = found === undefined
      ? exitCode === undefined ? "a signal ended it" : `it ended with ${exitCode}`
      : `${found.code} ${found.name}`;
    throw new LaunchError(`Cannot run nitro-cli ${args[0]}: ${reason}`, {
      hint: found?.hint ?? "Run the same by hand: what does it write?",
      nitroCode: found?.code,
      nitroName: found?.name,
    });
  }
}
