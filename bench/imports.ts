import { execFile } from "node:child_process";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { commandOf, type Runtime } from "./runtimes.ts";
import { median, medianRatio, shuffle } from "./statistics.ts";
import type { Row } from "./table.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Within the repository, so that koffi, which is not bundled, would be found. */
const FOLDER = join(ROOT, "build", "bench-imports");

const SIZE_SECTION = "Size of the bundle, minified";
const IMPORT_SECTION = "A process that only imports the bundle";

/** Imports that a decrypt needs. */
const ENTRIES = {
  "@aws-sdk/client-kms": `export { KMSClient, DecryptCommand } from "@aws-sdk/client-kms";`,
  "enclave-kms": `export { KmsClient } from "./mod.ts";`,
  "nothing": "",
} as const;

type Entry = keyof typeof ENTRIES;

interface Import {
  readonly entry: Entry;
  readonly runtime: Runtime;
  readonly bytes: Uint8Array;
  readonly command: readonly string[];
  readonly timesMs: number[];
}

/**
 * Measures the size of the bundled library, and the time of importing it.
 *
 * @param rounds Number of rounds
 * @param runtimes Runtimes to measure
 * @param random Numbers from 0 to 1 for the order
 */
export async function importRows(
  rounds: number,
  runtimes: readonly Runtime[],
  random: () => number,
): Promise<Row[]> {
  await mkdir(FOLDER, { recursive: true });
  try {
    const pairs = runtimes.flatMap((runtime) => entries().map((entry) => [entry, runtime] as const));
    const imports = await Promise.all(pairs.map(([entry, runtime]) => makeImport(entry, runtime)));
    for (let round = 0; round < rounds; round++) {
      for (const { command, timesMs } of shuffle(imports, random)) timesMs.push(await time(command));
    }
    const sizes = imports.filter(({ entry }) => entry !== "nothing").map((one) => sizeRow(one, imports));
    return [...sizes, ...imports.map((one) => importRow(one, imports))];
  } finally {
    await rm(FOLDER, { recursive: true, force: true });
  }
}

function entries(): Entry[] {
  return Object.keys(ENTRIES) as Entry[];
}

async function makeImport(entry: Entry, runtime: Runtime): Promise<Import> {
  const outfile = join(FOLDER, `${entries().indexOf(entry)}-${runtime}.mjs`);
  await build({
    stdin: { contents: ENTRIES[entry], resolveDir: ROOT, loader: "ts" },
    outfile,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "node",
    target: "node22",
    conditions: runtime === "Deno" ? ["deno"] : [],
    // Bundled CommonJS asks for Node's modules with require.
    banner: { js: `import{createRequire}from"node:module";var require=createRequire(import.meta.url);` },
    logLevel: "warning",
  });
  const bytes = await readFile(outfile);
  return { entry, runtime, bytes, command: commandOf(runtime, outfile), timesMs: [] };
}

async function time([program = "", ...args]: readonly string[]): Promise<number> {
  const startedAt = performance.now();
  await promisify(execFile)(program, args);
  return performance.now() - startedAt;
}

function sizeRow({ entry, runtime, bytes }: Import, imports: readonly Import[]): Row {
  const baseline: Entry = "@aws-sdk/client-kms";
  const other = imports.find((one) => one.entry === baseline && one.runtime === runtime);
  const ratio = bytes.length / (other?.bytes.length ?? NaN);
  const note = `${(gzipSync(bytes).length / 1024).toFixed(0)} KiB gzipped${
    entry === "enclave-kms" && runtime === "Node" ? ", without koffi" : ""
  }`;
  return {
    section: SIZE_SECTION,
    what: entry,
    runtime,
    p50: bytes.length / 1024,
    unit: "KiB",
    ratio,
    baseline,
    note,
  };
}

function importRow({ entry, runtime, timesMs }: Import, imports: readonly Import[]): Row {
  const baseline: Entry = "nothing";
  const other = imports.find((one) => one.entry === baseline && one.runtime === runtime);
  const ratio = medianRatio(timesMs, other?.timesMs ?? []);
  return { section: IMPORT_SECTION, what: entry, runtime, p50: median(timesMs), unit: "ms", ratio, baseline };
}
