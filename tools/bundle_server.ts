import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { build, type Metafile } from "esbuild";
import { type BundleFiles, COMMON_JS, licensesOf, listFiles } from "../deploy/bundle/bundle_files.ts";
import type { Runtime } from "./bundle.ts";

/** A bundled server, without the runtime. */
export interface ServerBundle {
  /** Runtime of the bundle. */
  readonly runtime: Runtime;
  /** Its folder: nothing outside is needed but the runtime. */
  readonly folder: string;
  /** File to run. */
  readonly entry: string;
  /** Its files, by path in the folder. */
  readonly files: BundleFiles;
  /** Content of the entry: bytes by room and by package. */
  readonly inside: Readonly<Record<string, number>>;
}

/** Largest bundle, in bytes. */
export const MAX_BUNDLE_BYTES = 8_000_000;

/** Path of the files in a bundle's folder. koffi looks for its addon two folders above, in build/koffi. */
export const PLACE = "lib/enclave-kms";

const ENTRIES: Readonly<Record<string, string>> = {
  "server.js": "server/main.ts",
  // Found beside the file that starts it.
  "sdk_client_worker.js": "lib/kms/sdk_client/sdk_client_worker.ts",
};

const CEDAR = "node_modules/@cedar-policy/cedar-wasm/nodejs/cedar_wasm_bg.wasm";

/** Sources that may be inside: never the simulator. */
const ALLOWED = /^((ffi|lib|enclave|server)\/|node_modules\/)/;

/** Packages that may be inside. */
const PACKAGES: readonly string[] = [
  "@pinojs/redact",
  "atomic-sleep",
  "hono",
  "hpke",
  "jose",
  "on-exit-leak-free",
  "pino",
  "pino-std-serializers",
  "process-warning",
  "quick-format-unescaped",
  "real-require",
  "safe-stable-stringify",
  "sonic-boom",
  "thread-stream",
  "valibot",
];

/**
 * Makes a server in one file for each runtime, with the files that must lie beside it, and lists their
 * content. The same sources give the same bytes.
 *
 * @param outdir Gets a folder for each runtime; it is emptied first
 * @throws {Error} When a bundle is too large, or holds a file that it must not hold
 */
export async function bundleServers(outdir: string): Promise<ServerBundle[]> {
  rmSync(outdir, { recursive: true, force: true });
  const bundles: ServerBundle[] = [];
  for (const runtime of ["node", "deno"] as const) {
    const made = await bundleServer(runtime, join(outdir, runtime));
    print(made);
    bundles.push(made);
  }
  return bundles;
}

async function bundleServer(runtime: Runtime, folder: string): Promise<ServerBundle> {
  const place = join(folder, PLACE);
  mkdirSync(place, { recursive: true });
  const packages = new Set(["@cedar-policy/cedar-wasm"]);
  const inside: Record<string, number> = {};
  for (const [name, source] of Object.entries(ENTRIES)) {
    const metafile = await bundleEntry(runtime, source, join(place, name));
    for (const found of checkContent(runtime, source, metafile)) packages.add(found);
    if (name === "server.js") Object.assign(inside, sumUp(metafile));
  }
  const folders = [...packages].map((name) => join("node_modules", name));
  copyFileSync(CEDAR, join(place, "cedar_wasm_bg.wasm"));
  writeFileSync(join(place, "package.json"), '{ "type": "module" }\n');
  writeFileSync(join(place, "LICENSES.txt"), licensesOf([".", ...folders]));
  if (runtime === "node") copyKoffi(join(folder, "build/koffi"));
  const made = { runtime, folder, entry: join(place, "server.js"), files: listFiles(folder), inside };
  const bytes = sizeOf(made);
  if (bytes > MAX_BUNDLE_BYTES) throw new Error(`The ${runtime} server has ${bytes} bytes`);
  return made;
}

async function bundleEntry(runtime: Runtime, source: string, outfile: string): Promise<Metafile> {
  const { metafile } = await build({
    entryPoints: [source],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node24",
    conditions: [runtime === "deno" ? "deno" : "koffi-inside"],
    banner: { js: COMMON_JS },
    legalComments: "none",
    metafile: true,
    logLevel: "warning",
  });
  return metafile;
}

/** Checks the content of a bundle, and returns the packages inside. */
function checkContent(runtime: Runtime, source: string, { inputs, outputs }: Metafile): string[] {
  const allowed = runtime === "node" ? [...PACKAGES, "koffi"] : PACKAGES;
  const packages = new Set(Object.keys(inputs).flatMap((input) => packageOf(input) ?? []));
  const external = Object.values(outputs).flatMap(({ imports }) => imports)
    .filter((imported) => imported.external).map(({ path }) => path);
  const foreign = [
    ...Object.keys(inputs).filter((input) => !ALLOWED.test(input)),
    ...[...packages].filter((name) => !allowed.includes(name)),
    ...external.filter((path) => !isBuiltin(path)),
  ];
  if (foreign.length > 0) {
    throw new Error(`The ${runtime} bundle of ${source} must not hold ${foreign.join(", ")}`);
  }
  return [...packages];
}

function sumUp({ outputs }: Metafile): Record<string, number> {
  const sums: Record<string, number> = {};
  const inputs = Object.values(outputs).flatMap((output) => Object.entries(output.inputs));
  for (const [input, { bytesInOutput }] of inputs) {
    const name = packageOf(input) ?? /^lib\/[a-z]+(?=\/)|^[a-z]+/.exec(input)?.[0] ?? input;
    sums[name] = (sums[name] ?? 0) + bytesInOutput;
  }
  return sums;
}

function packageOf(input: string): string | undefined {
  return /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1];
}

/** Copies koffi's addon for each C library that this machine's npm installed: glibc, and musl for Alpine. */
function copyKoffi(target: string): void {
  const scope = "node_modules/@koromix";
  for (const name of readdirSync(scope).filter((entry) => entry.startsWith("koffi-linux-"))) {
    for (const triplet of readdirSync(join(scope, name)).filter((entry) => /^(linux|musl)_/.test(entry))) {
      mkdirSync(join(target, triplet), { recursive: true });
      copyFileSync(join(scope, name, triplet, "koffi.node"), join(target, triplet, "koffi.node"));
    }
  }
}

function sizeOf({ files }: Pick<ServerBundle, "files">): number {
  return Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0);
}

function print(made: ServerBundle): void {
  const { runtime, files, entry, inside } = made;
  console.log(`\n${runtime} server, ${(sizeOf(made) / 1e6).toFixed(2)} MB: ${entry}`);
  for (const [path, { bytes, sha256 }] of Object.entries(files)) {
    console.log(`${(bytes / 1024).toFixed(1).padStart(8)} KiB  ${sha256.slice(0, 16)}  ${path}`);
  }
  const parts = Object.entries(inside).sort(([, a], [, b]) => b - a)
    .map(([name, bytes]) => `${name} ${(bytes / 1024).toFixed(1)}`);
  console.log(`inside server.js, in KiB: ${parts.join(", ")}`);
}
