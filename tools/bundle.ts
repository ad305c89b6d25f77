import { build, type Metafile } from "esbuild";
import { readEntries } from "./entries.ts";

/** Runtime of a bundle: each has its own loader of C libraries. */
export type Runtime = "node" | "deno";

/** Name in the package, and source. The worker is found beside the file that starts it. */
export const ENTRIES: Readonly<Record<string, string>> = {
  ...Object.fromEntries(readEntries().map(({ name, source }) => [name, source])),
  sdk_client_worker: "lib/kms/sdk_client/sdk_client_worker.ts",
};

interface Content {
  /** Sources that may be behind the entry. */
  readonly allowed: RegExp;
  /** Packages that may be imported at run time. */
  readonly packages: readonly string[];
  /** Whether browsers load it too: then without any module of Node.js. */
  readonly isForBrowsers?: boolean;
}

const LIBRARY = /^(mod\.ts$|ffi\/|lib\/(?!policy\/))/;

/** Simulator without the instruments, which need their C sources, and without the demo. */
const SIMULATOR = /^(lib\/(?!native\/|policy\/)|sim\/(?!instruments|demo))/;

/**
 * The command line, over the library and policies, without servers: of those it knows the names of actions
 * only.
 */
const COMMAND_LINE = /^(cli\/|ffi\/|lib\/|enclave\/actions\.ts$)/;

/** Policies, over what everybody uses. */
const POLICY = /^lib\/(policy|core)\//;

/** Verifying documents and sealing secrets, over what everybody uses, as far as browsers have it. */
const ATTESTATION = /^lib\/(attestation|core)\//;

/** koffi is found at run time, and not imported. */
const LIBRARY_PACKAGES: readonly string[] = ["cbor2", "hpke"];

/** The other runtime's loader, and what is for bundles that hold koffi. */
const OTHER_LOADERS = {
  node: /^ffi\/(loader_deno|koffi_inside)\.ts$/,
  deno: /^ffi\/(loader_koffi|koffi|koffi_inside)\.ts$/,
} as const;

/**
 * Bundles the entries for one runtime. They share chunks, and with them the classes of errors.
 *
 * @param runtime Runtime of the loader and sockets
 * @param outdir Folder for the bundles
 * @param entries Name and source of each
 * @throws {Error} When a bundle holds more than its users should get
 */
export async function bundle(
  runtime: Runtime,
  outdir: string,
  entries: Readonly<Record<string, string>> = ENTRIES,
): Promise<Metafile> {
  const { metafile } = await build({
    entryPoints: entries,
    outdir,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node22",
    packages: "external",
    conditions: runtime === "deno" ? ["deno"] : [],
    metafile: true,
    logLevel: "warning",
  });
  for (const [name, source] of Object.entries(entries)) {
    const output = Object.keys(metafile.outputs).find((path) =>
      metafile.outputs[path]?.entryPoint === source
    );
    if (output === undefined) throw new Error(`There is no bundle of ${source}`);
    checkContent(metafile, output, runtime, name);
  }
  return metafile;
}

/** The server, over its base and the library. */
const SERVER = /^(mod\.ts$|(enclave|server|lib|ffi)\/)/;

/** Packages of the server besides the library's, which are optional. */
const SERVER_PACKAGES: readonly string[] = [
  ...[
    "@hono/node-server",
    "@hono/node-server/utils/response",
    "hono",
    "hono/body-limit",
    "hono/http-exception",
    "hono/validator",
    "pino",
    "valibot",
  ],
];

function contentOf(name: string): Content {
  if (name === "server") return { allowed: SERVER, packages: [...LIBRARY_PACKAGES, ...SERVER_PACKAGES] };
  if (name === "sim") return { allowed: SIMULATOR, packages: ["cbor2"] };
  if (name === "cli") return { allowed: COMMAND_LINE, packages: LIBRARY_PACKAGES };
  // Cedar's module is found in its package at run time, and not imported.
  if (name === "policy") return { allowed: POLICY, packages: [] };
  if (name === "attestation") {
    return { allowed: ATTESTATION, packages: ["cbor2", "hpke"], isForBrowsers: true };
  }
  return { allowed: LIBRARY, packages: LIBRARY_PACKAGES };
}

/** Checks that a bundle holds no third party's code, which would need its licence in the package. */
function checkContent(
  metafile: Metafile,
  output: string,
  runtime: Runtime,
  name: string,
): void {
  const { allowed, packages, isForBrowsers = false } = contentOf(name);
  const outputs = outputsBehind(metafile, output);
  const inputs = outputs.flatMap((path) => Object.keys(metafile.outputs[path]?.inputs ?? {}));
  const imports = outputs.flatMap((path) => metafile.outputs[path]?.imports ?? []);
  const foreign = [
    ...inputs.filter((input) => !allowed.test(input) || OTHER_LOADERS[runtime].test(input)),
    ...imports.filter(({ external }) => external).map(({ path }) => path)
      .filter((path) => (isForBrowsers || !path.startsWith("node:")) && !packages.includes(path)),
  ];
  if (foreign.length > 0) throw new Error(`${runtime}/${name}.js must not hold ${foreign.join(", ")}`);
}

function outputsBehind(metafile: Metafile, output: string, seen: Set<string> = new Set()): string[] {
  if (seen.has(output)) return [];
  seen.add(output);
  const chunks = metafile.outputs[output]?.imports.filter(({ external }) => !external) ?? [];
  return [output, ...chunks.flatMap(({ path }) => outputsBehind(metafile, path, seen))];
}
