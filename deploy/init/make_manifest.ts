import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { ImageError } from "../../lib/core/errors.ts";
import { type Bundle, type BundleRuntime, notABundle } from "../bundle/bundle_description.ts";
import { fileSource, readWhole } from "../eif/file_source.ts";
import type { Architecture } from "../eif/format.ts";
import { type ImageManifest, type ManifestEntry, type ManifestFile, parseManifest } from "../eif/manifest.ts";
import { findLibraries, hasLibrary } from "./find_libraries.ts";
import { readBundle } from "./read_bundle.ts";
import { type ElfFile, isElf, readElf } from "./read_elf.ts";

/** Options of {@link makeManifest}. Paths are from the current folder. */
export interface ManifestOptions {
  /** Path that the manifest will have: paths in it are from its folder. */
  readonly output: string;
  /** Folder of the bundle. */
  readonly bundle: string;
  /** Program of the runtime, Node.js or Deno. */
  readonly runtimeBinary: string;
  /** Name and version of the application. */
  readonly name: string;
  readonly version: string;
  /** Kernel, init and driver. Default: those that nitro-cli has installed. */
  readonly kernel?: string | undefined;
  readonly init?: string | undefined;
  readonly nsmModule?: string | undefined;
  /** Command line of the kernel. Default: nitro-cli's. */
  readonly commandLine?: string | undefined;
  /** Configuration file; becomes `app/config.json`. Default: there is none. */
  readonly config?: string | undefined;
  /** JSON Schema that the configuration is checked against. Default: it is not checked. */
  readonly schema?: string | undefined;
  /** Authorities for TLS, PEM; Node.js and Deno bring their own along. Default: there are none. */
  readonly caCertificates?: string | undefined;
  /** Variables of the application. */
  readonly environment: Readonly<Record<string, string>>;
  /** Other files, by their paths in the image. */
  readonly files: readonly (readonly [path: string, from: string])[];
  /** Names of libraries that the application opens while it runs. */
  readonly libraries: readonly string[];
  /** Folder that stands for `/` when libraries are looked for. Default: `/`. */
  readonly root?: string | undefined;
}

/** Folder in which nitro-cli has AWS's kernel, init and driver. */
const NITRO_BLOBS = "/usr/share/nitro_enclaves/blobs";

/** Command line of nitro-cli's kernel, the same on both architectures. */
const COMMAND_LINE = "reboot=k panic=30 pci=off nomodules console=ttyS0 random.trust_cpu=on root=/dev/ram0";

/** OpenSSL, which Node.js brings along and the library opens on Deno. */
export const OPENSSL = "libcrypto.so.3";

/** Folder of the application in the enclave. */
const PLACE = "app";

/** Folders that AWS's init mounts file systems on, as nitro-cli makes them. */
const FOLDERS: readonly ManifestEntry[] = [
  ...["dev", "proc", "run", "sys", "var"].map((path) => ({ path, directory: true } as const)),
  { path: "tmp", directory: true, mode: "1777" },
];

/** Flags of Deno: what the library needs, and no right to write, to start programs or to fetch code. */
export const DENO_FLAGS: readonly string[] = [
  ...["run", "--quiet", "--no-prompt", "--no-remote", "--cached-only", "--unstable-vsock"],
  ...["--allow-net", "--allow-read", "--allow-env", "--allow-sys=hostname", "--allow-ffi"],
];

/** Variables of each runtime in an image, which has no home. */
const RUNTIME_ENVIRONMENT: Readonly<Record<BundleRuntime, Readonly<Record<string, string>>>> = {
  node: {},
  deno: { DENO_DIR: "/tmp/deno", DENO_NO_UPDATE_CHECK: "1" },
};

/**
 * Makes the first manifest of an image: a bundle, its runtime with all libraries, and AWS's kernel and init, each with its
 * hash. It reads programs and runs none. The same files make the same manifest. With Deno comes {@link OPENSSL} where it is
 * found.
 *
 * @param options Parts of the image
 * @returns The manifest, for `buildImage()` and for git
 * @throws {ImageError} When a file is missing or of a wrong kind, the bundle is for another processor, or a name is wrong
 */
export async function makeManifest(options: ManifestOptions): Promise<ImageManifest> {
  const bundle = await readBundle(options.bundle);
  const elf = await readProgram(options.runtimeBinary);
  checkFit(bundle, elf);
  const files = bundleFiles(bundle, elf);
  const { root = "/" } = options;
  const opened = bundle.runtime === "deno" && hasLibrary(OPENSSL, elf.architecture, root) ? [OPENSSL] : [];
  const libraries = [...await librariesOf(options.bundle, files), ...opened, ...options.libraries];
  const found = await findLibraries(elf, libraries, root);
  const folder = dirname(resolve(options.output));
  const hashed = (from: string) => hashedFile(folder, from);
  const runtime = `usr/bin/${bundle.runtime}`;
  const application: ManifestEntry[] = [
    { path: runtime, ...await hashed(options.runtimeBinary), mode: "0755" },
    ...FOLDERS,
  ];
  for (const { path, from } of found) application.push({ path, ...await hashed(from), mode: "0755" });
  for (const path of files) {
    const file = await hashed(join(options.bundle, path));
    if (file.sha256 !== bundle.files[path]?.sha256) throw notABundle(`${path} changed while it was read`);
    application.push({ path: `${PLACE}/${path}`, ...file });
  }
  for (const [path, from] of ownFiles(options)) application.push({ path, ...await hashed(from) });
  const configured = options.config === undefined ? {} : { path: CONFIG_PATH };
  const manifest: ImageManifest = {
    manifestVersion: 1,
    name: options.name,
    version: options.version,
    architecture: elf.architecture,
    ...await systemOf(options, elf.architecture, hashed),
    application: application.sort((a, b) => a.path < b.path ? -1 : 1),
    command: commandOf(bundle),
    environment: environmentOf(bundle.runtime, options),
    ...(options.schema === undefined
      ? {}
      : { configuration: { ...configured, schema: await hashed(options.schema) } }),
  };
  return parseManifest(JSON.stringify(manifest));
}

/** Path of the configuration in the image. */
const CONFIG_PATH = `${PLACE}/config.json`;

function ownFiles(
  { config, caCertificates, files }: ManifestOptions,
): (readonly [path: string, from: string])[] {
  return [
    ...(config === undefined ? [] : [[CONFIG_PATH, config] as const]),
    ...(caCertificates === undefined ? [] : [["etc/ssl/certs/ca-certificates.crt", caCertificates] as const]),
    ...files,
  ];
}

function commandOf({ runtime, entry }: Bundle): string[] {
  const program = `/${PLACE}/${entry}`;
  return runtime === "node" ? ["/usr/bin/node", program] : ["/usr/bin/deno", ...DENO_FLAGS, program];
}

function environmentOf(
  runtime: BundleRuntime,
  { config, environment }: ManifestOptions,
): Record<string, string> {
  const all = {
    ENV_SETUP: "NITRO",
    ...RUNTIME_ENVIRONMENT[runtime],
    ...(config === undefined ? {} : { ENCLAVE_KMS_CONFIG: `/${CONFIG_PATH}` }),
    ...environment,
  };
  return Object.fromEntries(Object.entries(all).sort(([a], [b]) => a < b ? -1 : 1));
}

async function readProgram(path: string): Promise<ElfFile> {
  await using source = await fileSource(path);
  const elf = await readElf(source, path);
  if (elf.interpreter !== undefined || elf.needed.length === 0) return elf;
  throw new ImageError(`Cannot use ${path}: it is a library`, {
    hint: "Is it the program of Node.js or Deno?",
  });
}

function checkFit({ architectures }: Bundle, { architecture }: ElfFile): void {
  const name = architecture === "aarch64" ? "arm64" : architecture;
  if (architectures.includes(name)) return;
  throw new ImageError(
    `Cannot make a manifest: the runtime is for ${name}, and the bundle for ${architectures.join()}`,
    {
      hint: "Bundle with --architecture of the instance, and take a runtime for it",
    },
  );
}

/** Lists the files of a bundle without addons for other processors and other C libraries. */
function bundleFiles({ files }: Bundle, { architecture, interpreter = "" }: ElfFile): string[] {
  const system = basename(interpreter).startsWith("ld-musl") ? "musl" : "linux";
  const triplet = `${system}_${architecture === "aarch64" ? "arm64" : "x64"}`;
  return Object.keys(files).filter((path) => {
    const [, other] = /\/build\/koffi\/([^/]+)\/koffi\.node$/.exec(path) ?? [];
    return other === undefined || other === triplet;
  }).sort();
}

/** Lists the libraries that the addons of a bundle need. */
async function librariesOf(folder: string, files: readonly string[]): Promise<string[]> {
  const needed: string[] = [];
  for (const path of files.filter((one) => one.endsWith(".node"))) {
    await using source = await fileSource(join(folder, path), path);
    if (await isElf(source)) needed.push(...(await readElf(source, path)).needed);
  }
  return needed;
}

async function systemOf(
  { kernel, init, nsmModule, commandLine }: ManifestOptions,
  architecture: Architecture,
  hashed: (from: string) => Promise<ManifestFile>,
): Promise<Pick<ImageManifest, "kernel" | "commandLine" | "bootstrap">> {
  const blob = (name: string, given: string | undefined) => {
    const path = given ?? join(NITRO_BLOBS, name);
    if (given !== undefined || existsSync(path)) return hashed(path);
    throw new ImageError(`Cannot make a manifest: there is no ${path}`, {
      hint:
        "Install aws-nitro-enclaves-cli-devel, or set --kernel, --init and --nsm-module to blobs of nitro-cli",
    });
  };
  const line = join(NITRO_BLOBS, "cmdline");
  const installed = commandLine === undefined && kernel === undefined && existsSync(line)
    ? new TextDecoder().decode(await readWhole(line, 4096)).trim()
    : COMMAND_LINE;
  return {
    kernel: await blob(architecture === "x86_64" ? "bzImage" : "Image", kernel),
    commandLine: commandLine ?? installed,
    bootstrap: [
      { path: "dev", directory: true },
      { path: "init", ...await blob("init", init), mode: "0755" },
      { path: "nsm.ko", ...await blob("nsm.ko", nsmModule) },
    ],
  };
}

/** Hashes a file, and writes its path from the manifest's folder; one of the system's keeps its own path. */
async function hashedFile(folder: string, from: string): Promise<ManifestFile> {
  // Refuses what is no file.
  await using source = await fileSource(from);
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of createReadStream(from)) {
    hash.update(piece as Uint8Array);
    bytes += (piece as Uint8Array).length;
  }
  if (bytes !== source.size) {
    throw new ImageError(`Cannot read ${from}: it changed meanwhile`, { hint: "Try again" });
  }
  const path = resolve(from);
  const isNear = path.split("/")[1] === folder.split("/")[1];
  return { from: isNear ? relative(folder, path) : path, sha256: hash.digest("hex") };
}
