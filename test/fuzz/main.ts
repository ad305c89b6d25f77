/**
 * Program of `npm run fuzz`: `-- --runs 10000000 --target cms --seed 7 --write`. Without a target the runs
 * are shared out among all. Ends with code 1 if it finds something.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import process from "node:process";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { inspect, parseArgs } from "node:util";
// Before the targets.
import { lineCoverage } from "./coverage.ts";
import { type KnownInput, readInputs, writeInputs } from "./corpus.ts";
import { fuzz, type FuzzFinding, type FuzzResult } from "./fuzzer.ts";
import { minimise, shrink } from "./minimise.ts";
import { encodeBase64 } from "../../lib/core/encoding.ts";
import type { FuzzTarget } from "./target.ts";
import { TARGETS } from "./targets/mod.ts";
import { Watchdog } from "./watchdog.ts";

const HELP = `npm run fuzz -- [options]
  --runs <n>       inputs to try, shared out among the targets; default 100000
  --target <name>  only this one: ${[...TARGETS.keys()].map(({ name }) => name).join(", ")}
  --seed <n>       decides every input; default 1
  --write          keep what reaches new code in test/fuzz/corpus
  --minimise       only leave out of the corpus what reaches nothing of its own
  --lines          only say which lines the corpus does not reach`;

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "100000" },
    target: { type: "string" },
    seed: { type: "string", default: "1" },
    write: { type: "boolean", default: false },
    minimise: { type: "boolean", default: false },
    lines: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

// Making the trace of an error takes longer than most readers take to refuse.
Error.stackTraceLimit = 0;
if (values.help) console.log(HELP);
else if (values.lines) await showLines();
else if (values.minimise) await minimiseCorpora();
else process.exitCode = await run(Number(values.runs), Number(values.seed)) ? 0 : 1;

async function run(runs: number, seed: number): Promise<boolean> {
  const chosen = chosenTargets();
  if (chosen.size === 0 || !Number.isSafeInteger(runs) || !Number.isSafeInteger(seed)) {
    console.error(HELP);
    return false;
  }
  const total = [...chosen.values()].reduce((sum, weight) => sum + weight, 0);
  let isClean = true;
  for (const [target, weight] of chosen) {
    const { findings } = await runTarget(target, Math.ceil(runs * weight / total), seed);
    for (const finding of findings) await report(target, finding);
    isClean &&= findings.length === 0;
  }
  return isClean;
}

async function minimiseCorpora(): Promise<void> {
  for (const target of chosenTargets().keys()) {
    const inputs = readInputs("corpus", target.name).map(({ bytes }) => bytes);
    writeInputs("corpus", target.name, await minimise(target, inputs));
  }
}

async function showLines(): Promise<void> {
  for (const target of TARGETS.keys()) {
    for (const { bytes } of known(target)) await target.run(bytes.slice());
  }
  const files = [...new Set([...TARGETS.keys()].flatMap(({ covers }) => covers))];
  for (const { file, lines, missed } of lineCoverage(files)) {
    console.log(
      `${file}  ${lines - missed.length} of ${lines} lines${
        missed.length === 0 ? "" : `, all but ${missed.join(" ")}`
      }`,
    );
  }
}

function known({ name }: FuzzTarget): readonly KnownInput[] {
  return [...readInputs("corpus", name), ...readInputs("regressions", name)];
}

function chosenTargets(): ReadonlyMap<FuzzTarget, number> {
  const { target } = values;
  return new Map([...TARGETS].filter(([{ name }]) => target === undefined || name === target));
}

async function runTarget(target: FuzzTarget, runs: number, seed: number): Promise<FuzzResult> {
  using watchdog = new Watchdog(target.maxLength, join(tmpdir(), `enclave-kms-fuzz-${target.name}`));
  // New seeds are made at random: a run that is to be repeated goes by the corpus alone.
  const seeds = values.write ? await target.seeds() : [];
  const corpus = [...seeds, ...known(target).map(({ bytes }) => bytes)];
  const started = process.cpuUsage();
  const onInput = (input: Uint8Array) => watchdog.watch(input);
  const result = await fuzz(target, { runs, seed, corpus, onInput, onProgress: sayNowAndThen(target) });
  const { user, system } = process.cpuUsage(started);
  const { places, verdicts, findings } = result;
  console.log(
    `${target.name.padEnd(13)}${String(result.runs).padStart(9)} runs  ${places} places  ` +
      `${verdicts.size} verdicts  ${result.corpus.length} inputs  ${findings.length} findings  ` +
      `${((user + system) / 1e6).toFixed(1)} s CPU`,
  );
  if (values.write && findings.length === 0) await write(target, result.corpus);
  return result;
}

/**
 * Writes a minimal corpus. Another process finds it: V8 loses count of functions that it has optimised here.
 */
async function write(target: FuzzTarget, corpus: readonly Uint8Array[]): Promise<void> {
  const inputs: KnownInput[] = [];
  for (const bytes of corpus.map((input) => new Uint8Array(input))) {
    inputs.push({ verdict: await target.run(bytes.slice()), bytes });
  }
  writeInputs("corpus", target.name, inputs);
  const args = [fileURLToPath(import.meta.url), "--minimise", "--target", target.name];
  execFileSync(process.execPath, args, { stdio: "inherit" });
}

/** Prints a line for every 100,000 runs, beside the results. */
function sayNowAndThen({ name }: FuzzTarget): (result: FuzzResult) => void {
  let next = 100_000;
  return ({ runs, places, corpus }) => {
    if (runs < next) return;
    next += 100_000;
    console.error(`${name}: ${runs} runs, ${places} places, ${corpus.length} inputs`);
  };
}

async function report(target: FuzzTarget, { input, error }: FuzzFinding): Promise<void> {
  const shorter = await shrink(target, input);
  console.error(`\n${target.name}: ${inspect(error)}\n${shorter.length} bytes: ${encodeBase64(shorter)}`);
}
