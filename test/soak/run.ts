/**
 * `npm run soak [-- --calls 1000000] [--engine direct] [--runtime node] [--concurrency 16]`: one client
 * through so many decrypts, and what it holds while it runs. Exit code 0 when nothing grew and no answer was
 * wrong.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { SUPERVISED_VARIABLE } from "../../sim/instruments.ts";
import { ENGINE_CASES, type EngineCase } from "../support/engines.ts";
import { runSupervised } from "../support/supervised_run.ts";
import { growth, liveBytes } from "./growth.ts";
import { kibibytes, MAX_GROWTH_BYTES, perCall, soak, type SoakReport } from "./soak.ts";
import type { Footprint } from "./soak_task.ts";

const DEFAULT_CALLS = 1_000_000;
/** The cycle that the C client goes through takes a tenth of a second for each call. */
const DEFAULT_CLIENT_CALLS = 1000;

const { values } = parseArgs({
  options: {
    calls: { type: "string" },
    engine: { type: "string", default: "direct" },
    runtime: { type: "string", default: "node" },
    concurrency: { type: "string", default: "16" },
  },
});

process.exitCode = process.env[SUPERVISED_VARIABLE] === undefined
  ? await runSupervised() ?? noDevice()
  : await main();

function noDevice(): number {
  console.error("Cannot soak: there is no C compiler here, and so no /dev/nsm");
  return 1;
}

async function main(): Promise<number> {
  const engineCase = chooseCase(values.engine);
  const runtime = values.runtime === "deno" ? "Deno" : "Node";
  const calls = Number(values.calls ?? (engineCase.speaksHttps ? DEFAULT_CALLS : DEFAULT_CLIENT_CALLS));
  const concurrency = Number(values.concurrency);
  console.log(`${calls} decrypts by engine ${engineCase.label} on ${runtime}, ${concurrency} at once\n`);
  const started = performance.now();
  const onFootprint = (footprint: Footprint) => console.log(progress(footprint, started));
  const report = await soak({ engineCase, runtime, calls, concurrency, onFootprint });
  console.log(`\n${summary(report, (performance.now() - started) / 1000)}`);
  for (const failure of report.failures) console.error(`FAIL ${failure}`);
  return report.failures.length === 0 ? 0 : 1;
}

/** Chooses the real C SDK where there is one; its double otherwise. */
function chooseCase(engine: string): EngineCase {
  const cases = ENGINE_CASES.filter((candidate) => candidate.engine === engine && !candidate.skip);
  const chosen = cases.filter(({ label }) => !label.includes("software")).at(engine === "sdk" ? -1 : 0);
  if (chosen === undefined) throw new Error(`Cannot soak engine ${engine}: it does not run here`);
  return chosen;
}

function progress(footprint: Footprint, started: number): string {
  const { calls, heapBytes, nativeBytes, residentBytes, threads, sockets, files, outcomes } = footprint;
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  return [
    `${String(calls).padStart(9)} calls`,
    `${seconds.padStart(6)} s`,
    `${kibibytes(heapBytes).padStart(7)} KiB heap`,
    `${kibibytes(nativeBytes).padStart(7)} KiB malloc`,
    `${kibibytes(residentBytes).padStart(7)} KiB resident`,
    `${threads} threads`,
    `${sockets} sockets`,
    `${files} files`,
    `${outcomes.wrong} wrong`,
  ].join("  ");
}

function summary({ footprints, growthBytes }: SoakReport, seconds: number): string {
  const first = footprints[0]!;
  const last = footprints.at(-1)!;
  const { decrypted, refused, abandoned, wrong } = last.outcomes;
  const grown = (of: (footprint: Footprint) => number) => growth(footprints, of);
  const memory = (name: string, of: (footprint: Footprint) => number) =>
    row(name, `${kibibytes(of(first))} KiB`, `${kibibytes(of(last))} KiB`, `${kibibytes(grown(of))} KiB`);
  const count = (name: string, of: (footprint: Footprint) => number) =>
    row(name, String(of(first)), String(of(last)), grown(of).toFixed(1));
  return [
    row("", "first", "last", "growth"),
    memory("V8's heap", ({ heapBytes }) => heapBytes),
    memory("malloc", ({ nativeBytes }) => nativeBytes),
    memory("both (must be flat)", liveBytes),
    memory("resident, anonymous", ({ residentBytes }) => residentBytes),
    count("threads", ({ threads }) => threads),
    count("sockets", ({ sockets }) => sockets),
    count("other descriptors", ({ files }) => files),
    "",
    `${decrypted} decrypted, ${refused} refused, ${abandoned} abandoned, ${wrong} wrong, in ${
      seconds.toFixed(0)
    } s`,
    `growth of both: ${kibibytes(growthBytes)} of ${kibibytes(MAX_GROWTH_BYTES)} KiB, ` +
    `${perCall(growthBytes, footprints)} bytes a call`,
  ].join("\n");
}

function row(name: string, ...cells: readonly string[]): string {
  return name.padEnd(22) + cells.map((cell) => cell.padStart(14)).join("");
}
