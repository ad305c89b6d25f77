import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serveCid } from "./cid_backend.ts";
import { GUEST_CID } from "./guest_addresses.ts";
import { packInitramfs } from "./initramfs.ts";
import { getParts, type GuestParts } from "./packages.ts";

const MEMORY = "3G";
/** Against what hangs: it takes ten seconds when nobody else wants the processor. */
const BOOT_TIMEOUT_MS = 600_000;
const CONSOLE_TAIL = 2000;

/** End of a command in the guest. */
export interface GuestResult {
  /** The exit code; that of a shell for a command that a signal ended. */
  readonly code: number;
  /** Text that it printed, on stdout and stderr alike. */
  readonly output: string;
}

/**
 * A Linux in an emulator that sees this machine's files, read-only, and has AF_VSOCK. Nothing else of it is
 * shared.
 */
export class Guest implements AsyncDisposable {
  readonly #folder: string;
  readonly #emulator: ChildProcess;
  readonly #commands: Socket;
  readonly #servers: readonly Server[];
  #received = "";
  #wake = () => {};

  private constructor(folder: string, emulator: ChildProcess, commands: Socket, servers: readonly Server[]) {
    this.#folder = folder;
    this.#emulator = emulator;
    this.#commands = commands;
    this.#servers = servers;
    emulator.on("exit", () => this.#wake());
  }

  /**
   * Boots a guest.
   *
   * @throws {Error} When a part is missing, or the guest does not boot; with the end of its console
   */
  static async boot(): Promise<Guest> {
    const parts = getParts();
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-boot-"));
    packInitramfs(parts, join(folder, "initramfs"));
    const port = createServer().listen(join(folder, "commands"));
    const servers = [await serveCid(join(folder, "vsock"), GUEST_CID), port];
    // With setpriv the emulator ends with this process, even when that is killed.
    const command = ["--pdeathsig", "KILL", parts.qemu, ...emulatorArguments(parts, folder)];
    const emulator = spawn("setpriv", command, { stdio: ["ignore", "ignore", "inherit"] });
    const connected = once(port, "connection") as Promise<[Socket]>;
    const [commands] = await Promise.race([connected, once(emulator, "exit").then(() => [undefined])]);
    if (commands === undefined) throw new Error("Cannot boot a guest: qemu ended");
    const guest = new Guest(folder, emulator, commands, servers);
    await guest.#untilReady();
    return guest;
  }

  /**
   * Runs a command in the guest and waits for its end.
   *
   * @param command A line for the shell
   * @param timeoutMs Milliseconds; afterwards the guest is of no more use
   * @param echo Gets the output as it comes
   * @throws {Error} When the time is up, or the guest has ended
   */
  async run(command: string, timeoutMs: number, echo?: (text: string) => void): Promise<GuestResult> {
    const token = `end-${randomUUID()}`;
    this.#commands.write(`${token} ${command}\n`);
    const [, output = "", code] = await this.#until(
      new RegExp(`^([^]*)${token} (\\d+)\\n`),
      timeoutMs,
      echo,
    );
    return { code: Number(code), output };
  }

  /** Ends the guest. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded()) {
      this.#emulator.kill("SIGKILL");
      await once(this.#emulator, "exit");
    }
    this.#commands.destroy();
    for (const server of this.#servers) server.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #untilReady(): Promise<void> {
    this.#commands.setEncoding("utf8");
    this.#commands.on("error", () => {});
    this.#commands.on("data", (text: string) => {
      this.#received += text;
      this.#wake();
    });
    try {
      await this.#until(/ready\n/, BOOT_TIMEOUT_MS);
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Takes what came up to the pattern, and the pattern. */
  async #until(pattern: RegExp, timeoutMs: number, echo?: (text: string) => void): Promise<RegExpExecArray> {
    const endsAt = performance.now() + timeoutMs;
    for (let shown = 0;;) {
      const match = pattern.exec(this.#received);
      const ready = match?.[1] ?? this.#received.slice(0, this.#received.lastIndexOf("\n") + 1);
      echo?.(ready.slice(shown));
      shown = Math.max(shown, ready.length);
      if (match !== null) return this.#received = this.#received.slice(match[0].length), match;
      if (this.#hasEnded()) throw this.#failure("the guest ended");
      const leftMs = endsAt - performance.now();
      if (leftMs <= 0) throw this.#failure(`no end within ${timeoutMs} ms`);
      await this.#nextNews(leftMs);
    }
  }

  #hasEnded(): boolean {
    return this.#emulator.exitCode !== null || this.#emulator.signalCode !== null;
  }

  #nextNews(leftMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, leftMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #failure(what: string): Error {
    const console = readFileSync(join(this.#folder, "console"), "utf8").slice(-CONSOLE_TAIL);
    return new Error(`The guest failed: ${what}\n${this.#received}\n--- console\n${console}`);
  }
}

/**
 * TCG: it works on any machine, in a container too. The memory is shared because vhost-user insists on it.
 *
 * One processor, because with two QEMU (7.2) may go on running the translation of code that the other has
 * replaced: patched_code.c sees it in most of its rounds. V8 patches its jump tables from background threads
 * and frees what nothing should reach any more, so it died of "Check failed: it->second.Size() > offset", or
 * of a signal.
 */
function emulatorArguments({ kernel }: GuestParts, folder: string): string[] {
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot"],
    ...["-machine", "q35,memory-backend=memory", "-accel", "tcg", "-cpu", "max,-avx,-avx2", "-smp", "1"],
    ...["-m", MEMORY, "-object", `memory-backend-memfd,id=memory,size=${MEMORY},share=on`],
    ...["-kernel", kernel, "-initrd", join(folder, "initramfs")],
    ...["-append", "console=ttyS0 quiet panic=-1 random.trust_cpu=on mitigations=off"],
    ...["-chardev", `file,id=console,path=${join(folder, "console")}`, "-serial", "chardev:console"],
    ...["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"],
    ...["-chardev", `socket,id=vsock,path=${join(folder, "vsock")}`],
    ...["-device", "vhost-user-vsock-pci,chardev=vsock"],
    ...["-device", "virtio-serial-pci", "-chardev", `socket,id=commands,path=${join(folder, "commands")}`],
    ...["-device", "virtserialport,chardev=commands,name=commands"],
  ];
}
