import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { compileInstrument, supervise } from "../sim/instruments.ts";
import { CC } from "../test/support/c_compiler.ts";
import { Child } from "./child.ts";
import { findSystemLibcrypto } from "./evp/evp.ts";
import { packCommandLine } from "./packed.ts";
import { pinned } from "./pinning.ts";
import { commandOf, type Runtime } from "./runtimes.ts";
import { nameOfSdkCrypto } from "./sdk_crypto.ts";
import type { Counts, Parts, Setting } from "./setting.ts";

const VSOCK_REDIRECT = fileURLToPath(new URL("./native/vsock_redirect.c", import.meta.url));

/** The simulated KMS in its own process, and what is needed to start others that decrypt with it. */
export class Lab implements AsyncDisposable {
  readonly setting: Setting;
  readonly parts: Parts;
  readonly #folder: string;
  readonly #kms: Child;

  private constructor(folder: string, kms: Child, setting: Setting, parts: Parts) {
    this.#folder = folder;
    this.#kms = kms;
    this.setting = setting;
    this.parts = parts;
  }

  /** Compiles the C instruments, packs the command line and starts KMS. */
  static async open(): Promise<Lab> {
    const folder = await mkdtemp(join(tmpdir(), "enclave-kms-bench-"));
    const kms = new Child(commandOf("Node", "kms_process.ts", [folder, String(process.pid)]));
    try {
      const parts = await findParts(folder);
      return new Lab(folder, kms, await kms.read<Setting>(), parts);
    } catch (error) {
      await kms[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Makes a command line whose process has a `/dev/nsm` where possible.
   *
   * @param runtime Runtime of the process
   * @param script Path of the script, relative to this folder or absolute
   * @param args Arguments of the script
   * @param flags Flags of the runtime
   */
  command(
    runtime: Runtime,
    script: string,
    args: readonly string[] = [],
    flags: readonly string[] = [],
  ): string[] {
    return this.supervise(commandOf(runtime, script, args, flags));
  }

  /** Gives the process of a command a `/dev/nsm` where possible. */
  supervise(command: string[]): string[] {
    return this.parts.hasDevice ? supervise(command, this.#folder) : command;
  }

  /** Starts a process and sends it the setting. */
  start(
    runtime: Runtime,
    script: string,
    args: readonly string[] = [],
    flags: readonly string[] = [],
  ): Promise<Child> {
    return this.#begin(this.command(runtime, script, args, flags), this.setting);
  }

  /**
   * Starts a process whose KMS replays, or that runs on some cores only, and sends it the setting.
   *
   * @param runtime Runtime of the process
   * @param script Path of the script, relative to this folder or absolute
   * @param args Arguments of the script
   * @param place Numbers of the cores, default all; and whether its KMS is the one that replays
   */
  startAt(
    runtime: Runtime,
    script: string,
    args: readonly string[],
    { cores, replays }: { readonly cores?: readonly number[]; readonly replays: boolean },
  ): Promise<Child> {
    const command = commandOf(runtime, script, args);
    const placed = this.supervise(cores === undefined ? command : pinned(cores, command));
    return this.#begin(placed, replays ? { ...this.setting, ...this.setting.replaying } : this.setting);
  }

  /** Process id of KMS, which replays as well. */
  get kmsPid(): number {
    return this.#kms.pid;
  }

  async #begin(command: readonly string[], setting: Setting): Promise<Child> {
    const child = new Child(command);
    await child.ask<boolean>({ setting, parts: this.parts });
    return child;
  }

  /** Reads the counts of KMS and the NSM. */
  counts(): Promise<Counts> {
    return this.#kms.ask<Counts>({});
  }

  /** Ends KMS. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kms[Symbol.asyncDispose]();
    for (const folder of [this.#folder, dirname(this.parts.cli)]) {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

async function findParts(folder: string): Promise<Parts> {
  const hasDevice = await compileInstrument("nsm-supervisor") !== undefined;
  const kmstool = process.env["KMSTOOL_ENCLAVE_CLI"] || undefined;
  const sdkLibrary = process.env["ENCLAVE_KMS_SDK_LIBRARY"] || await compileInstrument("sdk-double");
  return {
    hasDevice,
    cli: await packCommandLine(),
    libcrypto: findSystemLibcrypto(),
    sdkLibrary,
    sdkCrypto: sdkLibrary === undefined ? undefined : await nameOfSdkCrypto(sdkLibrary),
    kmstool,
    vsockRedirect: kmstool === undefined ? undefined : await compileRedirect(folder, kmstool),
  };
}

/** Compiles the redirection and tries it: a tool without it would connect to the vsock of this machine. */
async function compileRedirect(folder: string, kmstool: string): Promise<string> {
  const library = join(folder, "vsock_redirect.so");
  const run = promisify(execFile);
  await run(CC, ["-std=c11", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", "-o", library, VSOCK_REDIRECT]);
  const env = { ...process.env, LD_PRELOAD: library, ENCLAVE_KMS_BENCH_PROBE: "1" };
  const { stdout } = await run(kmstool, [], { env, timeout: 5000 }).catch(() => ({ stdout: "" }));
  if (stdout === "redirected\n") return library;
  throw new Error(
    `Cannot use ${kmstool}: its vsock connections cannot be redirected; is it linked statically?`,
  );
}
