/**
 * What `npm run fuzz` runs: `-- --runs 10000000 --target cms --seed 7 --write`. Without a target the runs are shared
 * out among all. Ends with code 1 if it finds something.
 *
 * @module
 */
import process from "node:process";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { inspect, parseArgs } from "node:util";
// Before the targets.
import { lineCoverage } from "./coverage.ts";
import { type KnownInput, readInputs, writeInputs } from "./corpus.ts";
import { fuzz, type FuzzFinding, type FuzzResult } from "./fuzzer.ts";
import { minimise, shrink } from "./minimise.ts";
import { encodeBase64 } from "../../lib/encoding.ts";
import type { FuzzTarget } from "./target.ts";
import { TARGETS } from "./targets/mod.ts";
import { Watchdog } from "./watchdog.ts";

const HELP = `npm run fuzz -- [options]
  --runs <n>       inputs to try, shared out among the targets; default 100000
  --target <name>  only this one: ${[...TARGETS.keys()].map(({ name }) => name).join(", ")}
  --seed <n>       decides every input; default 1
  --write          keep what reaches new code in test/fuzz/corpus
  --lines          only say which lines the corpus does not reach`;

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "100000" },
    target: { type: "string" },
    seed: { type: "string", default: "1" },
    write: { type: "boolean", default: false },
    lines: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

// Making the trace of an error takes longer than most readers take to refuse.
Error.stackTraceLimit = 0;
if (values.help) console.log(HELP);
else if (values.lines) await showLines();
else process.exitCode = await run(Number(values.runs), Number(values.seed)) ? 0 : 1;

async function run(runs: number, seed: number): Promise<boolean> {
  const chosen = [...TARGETS].filter(([{ name }]) => values.target === undefined || name === values.target);
  if (chosen.length === 0 || !Number.isSafeInteger(runs) || !Number.isSafeInteger(seed)) {
    console.error(HELP);
    return false;
  }
  const total = chosen.reduce((sum, [, weight]) => sum + weight, 0);
  let isClean = true;
  for (const [target, weight] of chosen) {
    const { findings } = await runTarget(target, Math.ceil(runs * weight / total), seed);
    for (const finding of findings) await report(target, finding);
    isClean &&= findings.length === 0;
  }
  return isClean;
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

async function runTarget(target: FuzzTarget, runs: number, seed: number): Promise<FuzzResult> {
  using watchdog = new Watchdog(target.maxLength, join(tmpdir(), `enclave-kms-fuzz-${target.name}`));
  const corpus = known(target).map(({ bytes }) => bytes);
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
  if (values.write && findings.length === 0) {
    writeInputs("corpus", target.name, await minimise(target, result.corpus));
  }
  return result;
}

/** A line for every 100,000 runs, beside the results. */
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
