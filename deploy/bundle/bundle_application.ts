import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import type { Metafile, Plugin } from "esbuild";
import { ImageError } from "../../lib/core/errors.ts";
import { type Bundle, BUNDLE_FILE, type BundleRuntime } from "./bundle_description.ts";
import {
  type BundleArchitecture,
  COMMON_JS,
  licensesOf,
  listFiles,
  packageFolderOf,
} from "./bundle_files.ts";
import { type Esbuild, loadEsbuild } from "./load_esbuild.ts";
import { copyCedar, copyKoffi } from "./native_parts.ts";
import { checkReplaceable, replaceBundle } from "./replace_bundle.ts";

/** Options of {@link bundleApplication}. */
export interface BundleOptions {
  /** Path of the application's first file, TypeScript or JavaScript. */
  readonly entry: string;
  /** Runtime that will run it. */
  readonly runtime: BundleRuntime;
  /** Processors that it will run on. */
  readonly architectures: readonly BundleArchitecture[];
  /** Folder for the bundle. A bundle that is there is replaced, and nothing else. */
  readonly output: string;
}

/** Packages that the library imports only when they are used. */
export const OPTIONAL_PACKAGES: readonly string[] = [
  ...[
    "@aws-sdk/credential-providers",
    "@cedar-policy/cedar-wasm",
    "age-encryption",
    "aws4fetch",
    "hono-openapi",
  ],
  ...["jose", "shamir-secret-sharing"],
];

const ENTRY = "app.js";

/** File of the library that engine `sdk-client` starts as a thread: beside the program, under this name. */
const WORKER = "sdk_client_worker.js";

/**
 * Bundles an application for an image: one file with everything that it imports, and beside it what cannot be in it:
 * koffi with its addon, Cedar's module, and the thread of engine `sdk-client`. The same sources give the same bytes.
 *
 * Files that the application reads at run time are not found: name them in the image's manifest.
 *
 * @param options Entry, runtime, processors and output
 * @returns Description of the bundle
 * @throws {ImageError} When esbuild or something that is imported is not there, or the output is a folder of something else
 */
export async function bundleApplication(options: BundleOptions): Promise<Bundle> {
  const { runtime, architectures } = options;
  const [entry, output] = [resolve(options.entry), resolve(options.output)];
  if (!existsSync(entry)) {
    throw new ImageError(`Cannot bundle ${options.entry}: there is no such file`, {
      hint: "Is its path right?",
    });
  }
  await checkReplaceable(output);
  const esbuild = await loadEsbuild();
  const draft = `${output}.${crypto.randomUUID()}.part`;
  mkdirSync(draft, { recursive: true });
  try {
    const leftOut = await fill(draft, { esbuild, entry, runtime, architectures });
    const bundle = {
      bundleVersion: 1,
      runtime,
      architectures,
      entry: ENTRY,
      leftOut,
      files: listFiles(draft),
    } as const;
    writeFileSync(join(draft, BUNDLE_FILE), `${JSON.stringify(bundle, undefined, 2)}\n`);
    await replaceBundle(draft, output);
    return bundle;
  } finally {
    rmSync(draft, { recursive: true, force: true });
    await esbuild.stop();
  }
}

interface Parts extends Pick<BundleOptions, "entry" | "runtime" | "architectures"> {
  readonly esbuild: Esbuild;
}

async function fill(folder: string, { esbuild, entry, runtime, architectures }: Parts): Promise<string[]> {
  const made = await bundleFile(esbuild, { entry, runtime, outfile: join(folder, ENTRY) });
  const packages = new Set(made.packages);
  const library = [...packages].find(isLibrary);
  const leftOut = new Set(made.leftOut);
  if (library !== undefined) {
    const from = join(library, "package.json");
    const worker = workerOf(library, runtime);
    const second = await bundleFile(esbuild, { entry: worker, runtime, outfile: join(folder, WORKER) });
    for (const one of second.packages) packages.add(one);
    for (
      const part of [
        copyCedar(from, folder),
        runtime === "node" ? copyKoffi(from, folder, architectures) : undefined,
      ]
    ) {
      if (part !== undefined) packages.add(part);
    }
    if (existsSync(join(folder, "cedar_wasm_bg.wasm"))) leftOut.delete("@cedar-policy/cedar-wasm");
    else leftOut.add("@cedar-policy/cedar-wasm");
  }
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }\n');
  writeFileSync(join(folder, "LICENSES.txt"), licensesOf([...packages]));
  return [...leftOut].sort();
}

/** The repository holds TypeScript, and the package a file for each runtime. */
function workerOf(library: string, runtime: BundleRuntime): string {
  const source = join(library, "lib/kms/sdk_client/sdk_client_worker.ts");
  return existsSync(source) ? source : join(library, runtime, WORKER);
}

function isLibrary(folder: string): boolean {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).name === "enclave-kms";
}

interface FileOptions {
  readonly entry: string;
  readonly runtime: BundleRuntime;
  readonly outfile: string;
}

/** Bundles one file, and returns the folders of the packages inside and the optional ones that were not found. */
async function bundleFile(
  { build }: Esbuild,
  { entry, runtime, outfile }: FileOptions,
): Promise<{ packages: string[]; leftOut: string[] }> {
  const folder = dirname(entry);
  const leftOut = new Set<string>();
  const { metafile } = await build({
    entryPoints: [entry],
    outfile,
    // Paths in comments are from here, so that the folder's own place is nowhere in the bundle.
    absWorkingDir: folder,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node22",
    conditions: runtime === "deno" ? ["deno"] : [],
    banner: { js: COMMON_JS },
    external: ["koffi", "koffi/*"],
    plugins: [leaveOutOptional(leftOut)],
    legalComments: "none",
    metafile: true,
    logLevel: "silent",
  }).catch((cause) => {
    throw notBundled(entry, cause);
  });
  checkImports(metafile, runtime, leftOut);
  const packages = Object.keys(metafile.inputs).flatMap((input) => {
    const path = resolve(folder, input);
    const found = packageFolderOf(path);
    return found !== undefined && (path.includes("/node_modules/") || isLibrary(found)) ? [found] : [];
  });
  return { packages: [...new Set(packages)], leftOut: [...leftOut] };
}

/** Leaves out optional packages that are not installed: nothing imports them before they are used. */
function leaveOutOptional(leftOut: Set<string>): Plugin {
  const filter = new RegExp(`^(?:${OPTIONAL_PACKAGES.join("|")})$`);
  return {
    name: "optional packages",
    setup(build) {
      build.onResolve({ filter }, async ({ path, pluginData, ...where }) => {
        if (pluginData === leftOut) return undefined;
        const { kind, importer, resolveDir } = where;
        const found = await build.resolve(path, { kind, importer, resolveDir, pluginData: leftOut });
        if (found.errors.length === 0) return found;
        leftOut.add(path);
        return { path, external: true };
      });
    },
  };
}

/** Refuses imports that would fail in the enclave, where there is nothing but the bundle. */
function checkImports({ outputs }: Metafile, runtime: BundleRuntime, leftOut: ReadonlySet<string>): void {
  const missing = Object.values(outputs).flatMap(({ imports }) => imports)
    .filter(({ external, path }) => external && !isBuiltin(path) && !leftOut.has(path))
    .filter(({ path }) => runtime === "deno" || !/^koffi(?:\/|$)/.test(path));
  if (missing.length === 0) return;
  const names = [...new Set(missing.map(({ path }) => path))].join(", ");
  throw new ImageError(`Cannot bundle: imported, and not part of the bundle: ${names}`, {
    hint: "Install it into node_modules, and import it by its name: https:, jsr: and npm: cannot be bundled",
  });
}

function notBundled(entry: string, cause: unknown): ImageError {
  const { errors = [] } = cause as {
    errors?: { text: string; location?: { file: string; line: number } | null }[];
  };
  const [first] = errors;
  const place = first?.location ? `${first.location.file}:${first.location.line}: ` : "";
  const why = first === undefined ? "esbuild failed" : `${place}${first.text}`;
  return new ImageError(`Cannot bundle ${basename(entry)}: ${why}`, {
    hint: "Is every package that it imports installed in node_modules? On Deno set nodeModulesDir",
    cause,
  });
}
