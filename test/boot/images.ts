import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { buildImage } from "../../deploy/eif/build_image.ts";
import type { BuildSummary } from "../../deploy/eif/build_summary.ts";
import type { ImageManifest, ManifestEntry } from "../../deploy/eif/manifest.ts";
import { makeManifest } from "../../deploy/init/make_manifest.ts";
import type { ImageSigner } from "../../deploy/eif/signature.ts";
import type { Runtime } from "../../tools/bundle.ts";
import { orderModules } from "../vsock/initramfs.ts";
import { getKernel } from "../vsock/packages.ts";

/** Kernel modules of an enclave: on hardware, AWS's kernel has all but the first of these in it. */
const MODULES = ["nsm", "virtio_mmio", "vmw_vsock_virtio_transport", "vsock_loopback"];

/** Command line that nitro-cli gives. */
const COMMAND_LINE =
  "reboot=k panic=30 pci=off nomodules console=ttyS0 random.trust_cpu=on root=/dev/ram0 quiet";

/** Command of the program that looks on, with every right. */
const RUN: Readonly<Record<Runtime, readonly string[]>> = {
  node: ["/usr/bin/node"],
  deno: "/usr/bin/deno run --quiet --no-prompt --no-check --allow-all --unstable-vsock".split(" "),
};

/** Files of a bundle that the program does not use: the image's size is to be the application's. */
const UNUSED = /cedar_wasm|musl_|sdk_client_worker|LICENSES/;

/** Runtime that the machine has. */
export interface InstalledRuntime {
  readonly runtime: Runtime;
  /** Path of the binary. */
  readonly binary: string;
}

/** Application of an image. */
export interface Application {
  readonly name: string;
  /** Folder of its bundle. */
  readonly bundle: string;
  readonly policy: string;
  /** Content of `/app/config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** Image that was built. */
export interface BuiltImage {
  readonly path: string;
  readonly summary: BuildSummary;
}

/**
 * Finds a runtime on this machine.
 *
 * @param runtime The runtime
 */
export function findRuntime(runtime: Runtime): InstalledRuntime {
  const ask = runtime === "node" ? ["-p", "process.execPath"] : ["eval", "console.log(Deno.execPath())"];
  const binary = realpathSync(execFileSync(runtime, ask, { encoding: "utf8" }).trim());
  return { runtime, binary };
}

/**
 * Builds an image of an application, with Debian's kernel, our own init, and the program that looks at the enclave from
 * inside, all of which are measured by PCR1.
 *
 * @param runtime Runtime
 * @param application Application
 * @param check Folder of the program's bundle
 * @param output Folder of the image
 * @param signer Signer, for PCR8. Default: the image is not signed
 */
export async function makeImage(
  runtime: InstalledRuntime,
  application: Application,
  check: string,
  output: string,
  signer?: ImageSigner,
): Promise<BuiltImage> {
  mkdirSync(output);
  const config = join(output, "config.json");
  writeFileSync(config, `${JSON.stringify(application.config, undefined, 2)}\n`);
  const path = join(output, "image.json");
  const init = fileURLToPath(new URL("./init.sh", import.meta.url));
  const made = await makeManifest({
    output: path,
    bundle: application.bundle,
    runtimeBinary: runtime.binary,
    name: application.name,
    version: "1.0.0",
    kernel: getKernel().kernel,
    init,
    nsmModule: init, // replaced below: Debian's kernel needs more than one
    commandLine: COMMAND_LINE,
    config,
    environment: {},
    files: [["app/policy.cedar", application.policy]],
    libraries: [],
  });
  const manifest: ImageManifest = { ...made, bootstrap: bootstrapOf(runtime.runtime, check, output) };
  writeFileSync(path, JSON.stringify(manifest));
  const summary = await buildImage({ manifest: path, output, signer });
  return { path: join(output, "image.eif"), summary };
}

function bootstrapOf(runtime: Runtime, check: string, output: string): ManifestEntry[] {
  const { modules, busybox } = getKernel();
  const folder = join(output, "bootstrap");
  mkdirSync(folder);
  const write = (path: string, content: string | Uint8Array) => {
    const file = join(folder, path.replaceAll("/", "-"));
    writeFileSync(file, content);
    return { ...fileOf(file), path };
  };
  const ordered = orderModules(modules, MODULES);
  const command = [...RUN[runtime], "/check/app.js"];
  return [
    ...["dev", "proc", "sys"].map((path) => ({ path, directory: true }) as const),
    { ...fileOf(fileURLToPath(new URL("./init.sh", import.meta.url))), path: "init", mode: "0755" },
    { ...fileOf(busybox), path: "bin/busybox", mode: "0755" },
    ...ordered.map(({ name, content }) => write(`modules/${name}.ko`, content)),
    write("modules/order", ordered.map(({ name }) => `${name}\n`).join("")),
    ...filesOf(check, "check/program").filter(({ path }) => !UNUSED.test(path)),
    write("check/cmd", command.map((word) => `${word}\n`).join("")),
  ];
}

function filesOf(folder: string, place: string): ManifestEntry[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => ({ ...fileOf(file), path: join(place, relative(folder, file)) }));
}

function fileOf(path: string): { from: string; sha256: string } {
  return { from: path, sha256: createHash("sha256").update(readFileSync(path)).digest("hex") };
}
