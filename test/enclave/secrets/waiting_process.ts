import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { SecretDeclaration } from "../../../enclave/mod.ts";
import { SimulatedEnvironment } from "../../../sim/mod.ts";
import { countInMemory } from "../../support/memory_scan.ts";
import { RUNTIME_COMMANDS } from "../../support/runtime_commands.ts";
import type { SecretsLab } from "./secrets_lab.ts";

const runtime = "Deno" in globalThis ? "Deno" : "Node";
const CHILD = fileURLToPath(new URL("../../support/boot_secrets_child.ts", import.meta.url));

/** Runs the enclave in a process of its own, which has its NSM and KMS from the lab's. */
export class WaitingProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #environment: SimulatedEnvironment;
  readonly #answers: AsyncIterator<string>;

  private constructor(child: ChildProcess, environment: SimulatedEnvironment) {
    this.#child = child;
    this.#environment = environment;
    this.#answers = createInterface(child.stdout!)[Symbol.asyncIterator]();
  }

  /** Starts it, with secrets that it declares. */
  static async start(
    lab: SecretsLab,
    secrets: readonly SecretDeclaration[],
    variables: Readonly<Record<string, string>> = {},
  ): Promise<WaitingProcess> {
    const environment = await SimulatedEnvironment.create(lab.simulator);
    const [program = "", ...args] = RUNTIME_COMMANDS[runtime] ?? [];
    const env = {
      ...process.env,
      ...environment.variables,
      ENCLAVE_PORT: "0",
      ENCLAVE_KMS_LOG_LEVEL: "silent",
      ENCLAVE_KMS_SIMULATION_FOLDER: lab.folder,
      TEST_SECRETS: JSON.stringify(secrets),
      ...variables,
    };
    return new WaitingProcess(
      spawn(program, [...args, CHILD], { env, stdio: ["pipe", "pipe", "inherit"] }),
      environment,
    );
  }

  /** Waits for the port of its HTTP, which it prints with `TEST_PRINTS_PORT`. */
  async port(): Promise<number> {
    return Number((await this.#answers.next()).value);
  }

  /** Has it collect garbage, or close first, and counts needles in its memory. */
  async count<N extends string>(
    command: string,
    needles: Readonly<Record<N, Uint8Array>>,
  ): Promise<Record<N, number>> {
    this.#child.stdin?.write(`${command}\n`);
    assert.equal((await this.#answers.next()).value, "done");
    return countInMemory(this.#child.pid ?? 0, needles);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#environment[Symbol.asyncDispose]();
  }
}
