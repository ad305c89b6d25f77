/**
 * `npm run bench`: compares every way to a plaintext on the same ciphertexts and the same simulated KMS, and
 * prints one table. See bench/README.md for what is measured how.
 *
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { Lab } from "./lab.ts";
import { type Options, readOptions, USAGE } from "./options.ts";
import { makePlan } from "./plan.ts";
import { makeResults } from "./results.ts";
import { runRounds } from "./rounds.ts";
import { comparisonRows, loopRows } from "./rows.ts";
import { seededRandom } from "./statistics.ts";
import { formatTable } from "./table.ts";

const startedAt = performance.now();
const options = readOptions(process.argv.slice(2));
if (options === "help") console.log(USAGE);
else await bench(options);

async function bench(options: Options): Promise<void> {
  const plan = makePlan(options.isQuick, options.runtimes);
  const random = seededRandom(options.seed);
  await using lab = await Lab.open();
  const measured = await runRounds(lab, plan, random, progress);
  const results = makeResults(measured, lab.parts);
  const rows = [...comparisonRows(results), ...loopRows(results)];
  console.log(formatTable(rows));
  await mkdir(options.out, { recursive: true });
  await writeFile(join(options.out, "results.json"), JSON.stringify({ results, rows }, undefined, 2));
  progress("done");
}

function progress(text: string): void {
  console.error(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}`);
}
