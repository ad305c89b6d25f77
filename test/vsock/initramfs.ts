import { execFileSync } from "node:child_process";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { GuestParts } from "./packages.ts";

/** Kernel modules that the guest needs. Their dependencies come along. */
const MODULES = [
  "9pnet_virtio",
  "9p",
  "overlay",
  "vsock_loopback",
  "vmw_vsock_virtio_transport",
  "vsock_diag",
];

const INIT = fileURLToPath(new URL("./guest_init.sh", import.meta.url));

const FILE = 0o100755;
const DIRECTORY = 0o040755;

/**
 * Packs the guest's first files: busybox, the modules in the order they are to be loaded in, and the script
 * that is the first process.
 *
 * @param parts Paths of the parts
 * @param path Path of the archive
 */
export function packInitramfs({ busybox, modules }: GuestParts, path: string): void {
  const ordered = orderModules(modules, MODULES);
  const folders = ["bin", "dev", "proc", "sys", "modules"].map((name) =>
    entry(name, DIRECTORY, Buffer.alloc(0))
  );
  writeFileSync(
    path,
    Buffer.concat([
      ...folders,
      entry("init", FILE, readFileSync(INIT)),
      entry("bin/busybox", FILE, readFileSync(busybox)),
      entry("modules/order", FILE, Buffer.from(ordered.map(({ name }) => `${name}\n`).join(""))),
      ...ordered.map(({ name, content }) => entry(`modules/${name}.ko`, FILE, content)),
      entry("TRAILER!!!", 0, Buffer.alloc(0)),
    ]),
  );
}

/** Kernel module, unpacked. */
export interface KernelModule {
  readonly name: string;
  readonly content: Buffer;
}

/**
 * Orders kernel modules, each after those that it depends on.
 *
 * @param folder Folder of the kernel's modules
 * @param names Names of those that are needed; their dependencies come along
 * @throws {Error} When the kernel does not have one
 */
export function orderModules(folder: string, names: readonly string[]): KernelModule[] {
  const files = new Map(
    globSync("**/*.ko.xz", { cwd: folder }).map((file) => [basename(file, ".ko.xz"), file]),
  );
  const order = new Set<string>();
  const add = (name: string) => {
    const file = files.get(name) ?? files.get(name.replaceAll("_", "-"));
    if (file === undefined) throw new Error(`Cannot make a guest: this kernel has no module ${name}`);
    const path = join(folder, file);
    if (order.has(path)) return;
    dependencies(path).forEach(add);
    order.add(path);
  };
  names.forEach(add);
  return [...order].map((path) => ({ name: basename(path, ".ko.xz"), content: unpackModule(path) }));
}

/** As the module itself lists them, in its section `.modinfo`. */
function dependencies(path: string): string[] {
  const list = /\0depends=([\w,-]*)\0/.exec(unpackModule(path).toString("latin1"))?.[1] ?? "";
  return list.split(",").filter((name) => name !== "");
}

const unpackedModules = new Map<string, Buffer>();

function unpackModule(path: string): Buffer {
  const known = unpackedModules.get(path);
  if (known !== undefined) return known;
  const bytes = execFileSync("xz", ["-dc", path], { maxBuffer: 1 << 26 });
  unpackedModules.set(path, bytes);
  return bytes;
}

/** Makes one file of an archive in cpio's "newc" format. */
function entry(name: string, mode: number, content: Buffer): Buffer {
  const nameBytes = Buffer.from(`${name}\0`);
  const fields = [0, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, nameBytes.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
  return Buffer.concat([pad(Buffer.concat([Buffer.from(header), nameBytes])), pad(content)]);
}

function pad(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
