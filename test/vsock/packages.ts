import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** Kernel and tools of a guest, from the distribution. */
export interface KernelParts {
  /** The kernel. */
  readonly kernel: string;
  /** `/lib/modules/<release>/kernel` of that kernel. */
  readonly modules: string;
  /** A busybox that needs no libraries. */
  readonly busybox: string;
}

/** Parts of a guest, all of them from the distribution. */
export interface GuestParts extends KernelParts {
  /** The emulator. */
  readonly qemu: string;
}

const QEMU = "qemu-system-x86_64";

/**
 * Packages that stand for the newest kernel with vsock, 9p and cuse, best first: Debian 12's, then Debian
 * 13's.
 */
const KERNEL_PACKAGES = ["linux-image-6.12-amd64", "linux-image-amd64"];

/**
 * Gets the parts, from the cache or from the distribution. Only the emulator is installed; kernel and busybox
 * are unpacked into the cache, and the machine's own stay as they are.
 *
 * @throws {Error} When this is not an apt system, or something is missing and this is not root
 */
export function getParts(): GuestParts {
  const parts = getKernel();
  if (!isInstalled(QEMU)) installQemu();
  return { ...parts, qemu: QEMU };
}

/**
 * Gets the kernel and its tools, without an emulator.
 *
 * @throws {Error} When this is not an apt system on x86-64
 */
export function getKernel(): KernelParts {
  if (process.arch !== "x64") throw new Error("Cannot boot a guest: the harness knows x86-64 hosts only");
  const cache = openCache();
  const unpacked = join(cache, "unpacked");
  if (!existsSync(unpacked)) unpack(cache, unpacked);
  const [release = ""] = readdirSync(join(unpacked, "lib/modules"));
  return {
    kernel: join(unpacked, `boot/vmlinuz-${release}`),
    modules: join(unpacked, "lib/modules", release, "kernel"),
    busybox: join(unpacked, "bin/busybox"),
  };
}

/** Opens a private cache: another user must not be able to put a kernel there. */
function openCache(): string {
  const { uid } = userInfo();
  const cache = join(tmpdir(), `enclave-kms-guest-${uid}`);
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  const status = lstatSync(cache);
  if (status.isDirectory() && status.uid === uid && (status.mode & 0o022) === 0) return cache;
  throw new Error(`Cannot use ${cache}: it is not a private directory of this user`);
}

function isInstalled(program: string): boolean {
  return spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0;
}

function installQemu(): void {
  console.log("installing qemu-system-x86: it boots the guest whose kernel has AF_VSOCK");
  if (userInfo().uid !== 0) {
    throw new Error("Cannot install: run `apt-get install qemu-system-x86` as root first");
  }
  update();
  run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "qemu-system-x86"]);
}

function unpack(cache: string, unpacked: string): void {
  const kernel = kernelPackage();
  console.log(`downloading ${kernel}: the guest's kernel, with vsock, 9p and overlayfs (not installed)`);
  console.log("downloading busybox-static: the guest's first process (not installed)");
  const work = mkdtempSync(join(cache, "work-"));
  try {
    run("apt-get", ["download", "-qq", kernel, "busybox-static"], work);
    const root = join(work, "root");
    mkdirSync(root);
    for (const file of readdirSync(work).filter((name) => name.endsWith(".deb"))) {
      run("dpkg-deb", ["-x", file, root], work);
    }
    chmodSync(root, 0o700);
    renameSync(root, unpacked);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Finds the package behind the first of the names that this distribution knows. */
function kernelPackage(): string {
  return findKernelPackage() ?? (update(), findKernelPackage()) ?? fail();
  function fail(): never {
    throw new Error(`Cannot find a kernel: apt knows none of ${KERNEL_PACKAGES.join(", ")}`);
  }
}

function findKernelPackage(): string | undefined {
  for (const name of KERNEL_PACKAGES) {
    const { stdout } = spawnSync("apt-cache", ["depends", name], { encoding: "utf8" });
    const found = /Depends: (linux-image-[\w.+-]+)/.exec(stdout ?? "")?.[1];
    if (found !== undefined) return found;
  }
  return undefined;
}

function update(): void {
  run("apt-get", ["update", "-qq"]);
}

function run(program: string, args: string[], cwd?: string): void {
  execFileSync(program, args, {
    cwd,
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
}
