/**
 * `npm run build`: makes the npm package in `dist/npm`, one set of files for Node.js and one for Deno, and
 * prints what is inside.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build, type Metafile } from "esbuild";

const OUT = "dist/npm";

/** Name in the package, and source. The worker is found beside the file that starts it. */
const ENTRIES = { mod: "mod.ts", sim: "sim/mod.ts", sdk_client_worker: "lib/engine/sdk_client_worker.ts" };

/** Rooms that no user of `enclave-kms` may find in the bundle. */
const FOREIGN_ROOMS = /^(sim|server|cli|bench|test|lib\/policy)\//;

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
report("node", await bundle("node", ["koffi", "cbor2"], []));
report("deno", await bundle("deno", ["cbor2"], ["deno"]));
emitTypes();
for (const file of ["README.md", "LICENSE", "CHANGELOG.md"]) copyFileSync(file, `${OUT}/${file}`);
writeFileSync(`${OUT}/package.json`, `${JSON.stringify(manifest(), null, 2)}\n`);

async function bundle(runtime: string, external: string[], conditions: string[]): Promise<Metafile> {
  const { metafile } = await build({
    entryPoints: ENTRIES,
    outdir: `${OUT}/${runtime}`,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node22",
    conditions,
    external,
    metafile: true,
    legalComments: "linked",
    logLevel: "warning",
  });
  checkContents(metafile, runtime);
  return metafile;
}

/** Refuses a bundle that carries more than it should. */
function checkContents(metafile: Metafile, runtime: string): void {
  const inputs = inputsBehind(metafile, `${OUT}/${runtime}/mod.js`);
  const foreign = inputs.filter((input) => FOREIGN_ROOMS.test(input));
  if (foreign.length > 0) throw new Error(`The ${runtime} bundle of mod.ts holds ${foreign.join(", ")}`);
  const loader = runtime === "deno" ? "ffi/loader_deno.ts" : "ffi/loader_koffi.ts";
  if (!inputs.includes(loader)) throw new Error(`The ${runtime} bundle of mod.ts lacks ${loader}`);
}

function inputsBehind(metafile: Metafile, output: string, seen = new Set<string>()): string[] {
  if (seen.has(output)) return [];
  seen.add(output);
  const entry = metafile.outputs[output];
  if (entry === undefined) return [];
  const chunks = entry.imports.filter((chunk) => !chunk.external);
  return [...Object.keys(entry.inputs), ...chunks.flatMap((chunk) => inputsBehind(metafile, chunk.path, seen))];
}

function report(runtime: string, metafile: Metafile): void {
  for (const [path, { bytes, inputs }] of Object.entries(metafile.outputs)) {
    const size = (bytes / 1024).toFixed(1).padStart(8);
    console.log(`${runtime.padEnd(5)} ${size} KiB  ${path} (${Object.keys(inputs).length} sources)`);
  }
}

function emitTypes(): void {
  execFileSync("tsc", ["-p", "tools/tsconfig.types.json", "--outDir", `${OUT}/types`], { stdio: "inherit" });
}

function manifest(): Record<string, unknown> {
  const source = JSON.parse(readFileSync("package.json", "utf8")) as Record<string, unknown>;
  const { name, version, description, keywords, license, type, engines, sideEffects, dependencies } = source;
  const entry = (file: string) => ({
    types: `./types/${file === "mod" ? "mod" : `${file}/mod`}.d.ts`,
    deno: `./deno/${file}.js`,
    default: `./node/${file}.js`,
  });
  return {
    name,
    version,
    description,
    keywords,
    license,
    type,
    engines,
    os: ["linux", "darwin"],
    sideEffects,
    exports: { ".": entry("mod"), "./sim": entry("sim"), "./package.json": "./package.json" },
    dependencies,
  };
}
