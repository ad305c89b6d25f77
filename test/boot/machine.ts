import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { serveCid } from "../vsock/cid_backend.ts";

/** The enclave's CID. The parent's is 3, where nobody answers. */
const ENCLAVE_CID = 16;

/** Text that the emulation adds to the command line, which is not measured: it has no timer to calibrate by. */
const EMULATION = "tsc_early_khz=2500000 panic=-1";

/** Clock ticks in a second of /proc/<pid>/stat: USER_HZ is 100 on every x86-64 Linux. */
const TICKS_PER_SECOND = 100;

/** Marks on the console that somebody waits for, by name. */
export type Marks = Readonly<Record<string, string>>;

/** Enclave to boot. */
export interface MachineOptions {
  /** Folder of the emulator and its firmware. */
  readonly qemu: string;
  /** Path of the image. */
  readonly image: string;
  readonly memoryMib: number;
  readonly moduleId: string;
  /** Text that PCR3 measures. */
  readonly role: string;
  /** Text that PCR4 measures. */
  readonly instanceId: string;
  /** Milliseconds for all of it; afterwards the emulator is killed. */
  readonly timeoutMs: number;
  /** Texts on the console whose time is wanted. */
  readonly marks: Marks;
}

/** End of an enclave. */
export interface MachineResult {
  /** Exit code of the emulator; undefined when it was killed, since the time was up. */
  readonly code: number | undefined;
  /** Everything on the enclave's console. */
  readonly console: string;
  /** Complaints of the emulator. */
  readonly complaints: string;
  /** Time after which each mark was seen. */
  readonly seen: Readonly<Record<string, SeenTime>>;
  readonly seconds: number;
}

/** Time from the emulator's start, in seconds. */
export interface SeenTime {
  /** Processor time of the emulator. */
  readonly processor: number;
  readonly clock: number;
  /** Processor time that everything else on this machine used meanwhile. */
  readonly others: number;
}

/**
 * Boots an image on an emulated Nitro Enclaves machine, and waits for its end. The emulator ends with this process, even
 * when that is killed.
 *
 * @param options Image and machine
 */
export async function runMachine(options: MachineOptions): Promise<MachineResult> {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-machine-"));
  const server = await serveCid(join(folder, "vsock"), ENCLAVE_CID);
  const [program = "", ...args] = commandOf(options, folder);
  mkdirSync(join(folder, "tmp"));
  const emulator = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    // It unpacks the image there.
    env: { PATH: process.env["PATH"], TMPDIR: join(folder, "tmp") },
  });
  try {
    return await watch(emulator, options);
  } finally {
    if (emulator.exitCode === null && emulator.signalCode === null) {
      emulator.kill("SIGKILL");
      await once(emulator, "exit");
    }
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function watch(emulator: ChildProcess, { marks, timeoutMs }: MachineOptions): Promise<MachineResult> {
  const started = performance.now();
  const texts = { console: "", complaints: "" };
  const seen: Record<string, SeenTime> = {};
  const busyBefore = busySeconds();
  const seconds = () => (performance.now() - started) / 1000;
  emulator.stdout?.setEncoding("latin1").on("data", (text: string) => {
    texts.console += text;
    for (const [name, mark] of Object.entries(marks)) {
      if (name in seen || !texts.console.includes(mark)) continue;
      const processor = processorSeconds(emulator.pid);
      seen[name] = { processor, clock: seconds(), others: busySeconds() - busyBefore - processor };
    }
  });
  emulator.stderr?.setEncoding("utf8").on("data", (text: string) => texts.complaints += text);
  const timer = setTimeout(() => emulator.kill("SIGKILL"), timeoutMs);
  try {
    const [code] = await once(emulator, "close") as [number | null];
    return { code: code ?? undefined, ...texts, seen, seconds: seconds() };
  } finally {
    clearTimeout(timer);
  }
}

/** Sums up what all processors have done since the machine started. */
function busySeconds(): number {
  return cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0) / 1000;
}

/** Sums up what the emulator's threads have used: a busy machine makes it wait, and not count. */
function processorSeconds(pid: number | undefined): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  } catch {
    return Infinity;
  }
}

/**
 * One processor, for the reason at the guest of test/vsock; and one without a source of random bytes, so that the module
 * is the only one.
 */
function commandOf({ qemu, ...options }: MachineOptions, folder: string): string[] {
  const { role, instanceId, moduleId } = options;
  const machine = `nitro-enclave,vsock=vsock,id=${moduleId},parent-id=${instanceId},acpi=on`;
  return [
    ...["setpriv", "--pdeathsig", "KILL", join(qemu, "qemu-system-x86_64"), "-L", qemu],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-machine", `${machine},parent-role=${role}`],
    ...["-accel", "tcg", "-cpu", "max,-avx,-avx2,-rdrand,-rdseed", "-smp", "1"],
    ...["-m", `${options.memoryMib}M`],
    ...["-chardev", `socket,id=vsock,path=${join(folder, "vsock")}`],
    ...["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ...["-kernel", options.image, "-append", EMULATION],
  ];
}
