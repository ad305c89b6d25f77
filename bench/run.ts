/**
 * `npm run bench`: compares every way to a plaintext on the same ciphertexts and the same simulated KMS, and
 * prints one table. See bench/README.md for what is measured how.
 *
 * @module
 */
import process from "node:process";
import { runAgainst } from "./against/run.ts";
import { runApp } from "./app/run.ts";
import { attacksNamed } from "./attack/attacks.ts";
import { runAttacks } from "./attack/run.ts";
import { formatVerdicts, isWithin } from "./attack/verdict.ts";
import { runBridges } from "./bridge/run.ts";
import { bridgeRows, judgeBridges } from "./bridge/verdict.ts";
import { Child } from "./child.ts";
import { runCores } from "./cores/run.ts";
import { coresRows, judgeCores } from "./cores/verdict.ts";
import { formatGate, isHeld, runGate } from "./gate.ts";
import { formatGoals, judge } from "./goals.ts";
import { guestRows } from "./guest.ts";
import { imageRows, judgeImage, runImage } from "./image/run.ts";
import { importRows } from "./imports.ts";
import { Lab } from "./lab.ts";
import { type MicroOrder, PARTS } from "./micro.ts";
import { type Options, readOptions, USAGE } from "./options.ts";
import { runOneShots } from "./one_shot/run.ts";
import { judgeOneShots, oneShotRows } from "./one_shot/verdict.ts";
import { missingPinning } from "./pinning.ts";
import { makePlan, type Plan } from "./plan.ts";
import { describeMachine, formatMachine, writeReport } from "./report.ts";
import { makeResults } from "./results.ts";
import { runRounds } from "./rounds.ts";
import { comparisonRows, loopRows } from "./rows.ts";
import { commandOf } from "./runtimes.ts";
import { judgeSecrets, runSecrets, secretsRows } from "./secrets/run.ts";
import { allocationRows, startRows } from "./starts.ts";
import { seededRandom } from "./statistics.ts";
import { formatTable, type Row } from "./table.ts";
import { runTelemetry } from "./telemetry/run.ts";

const options = readOptions(process.argv.slice(2));
if (options === "help") console.log(USAGE);
else if (options.attacks !== undefined) await attack(options, options.attacks);
else if (options.against !== undefined) await against(options, options.against);
else if (options.isApp) await app(options);
else if (options.isBridge) await bridges(options);
else if (options.isSecrets) await secrets(options);
else if (options.isTelemetry) await telemetry(options);
else if (options.isImage) await image(options);
else if (options.isCores) await cores(options);
else if (options.isOneShot) await oneShots(options);
else if (options.isGate) await gate();
else await bench(options);

async function gate(): Promise<void> {
  await using lab = await Lab.open();
  const checks = await runGate(lab, progress);
  console.log(formatGate(checks));
  const missed = checks.filter((check) => !isHeld(check));
  if (missed.length === 0) return;
  progress("once more: what is worse than it was is so twice");
  const again = await runGate(lab, progress);
  console.log(`\n${formatGate(again)}`);
  const isWorse = again.some((check) => !isHeld(check) && missed.some(({ what }) => what === check.what));
  if (isWorse || again.length !== checks.length) process.exitCode = 1;
}

async function attack(options: Options, parts: readonly string[]): Promise<void> {
  const attacks = attacksNamed(parts);
  if (attacks.length === 0) throw new TypeError("No attack has such a name");
  await using lab = await Lab.open();
  const machine = await describeMachine(lab.parts);
  const verdicts = await runAttacks(lab, { ...options, attacks }, progress);
  console.log(`${formatMachine(machine)}\n\n${formatVerdicts(verdicts)}`);
  if (!verdicts.every(isWithin)) process.exitCode = 1;
}

async function against(options: Options, folder: string): Promise<void> {
  await using lab = await Lab.open();
  const machine = await describeMachine(lab.parts);
  const { rows, goals } = await runAgainst(lab, { ...options, folder }, seededRandom(options.seed), progress);
  console.log(`${formatMachine(machine)}\n\n${formatTable(rows)}\n\n${formatGoals(goals)}`);
}

async function app(options: Options): Promise<void> {
  const { rows, goals } = await runApp(options, seededRandom(options.seed), progress);
  console.log(`${formatTable(rows)}\n\n${formatGoals(goals)}`);
  if (goals.some(({ outcome }) => outcome === "missed")) process.exitCode = 1;
}

async function bridges(options: Options): Promise<void> {
  const { missing, ...findings } = await runBridges(options, seededRandom(options.seed), progress);
  const goals = judgeBridges(findings);
  console.log(`${formatTable(bridgeRows(findings, missing))}\n\n${formatGoals(goals)}`);
  if (goals.some(({ outcome }) => outcome === "missed")) process.exitCode = 1;
}

async function secrets(options: Options): Promise<void> {
  const measured = await runSecrets(options, progress);
  const goals = judgeSecrets(measured);
  console.log(`${formatTable(secretsRows(measured))}\n\n${formatGoals(goals)}`);
  if (goals.some(({ outcome }) => outcome === "missed")) process.exitCode = 1;
}

async function telemetry(options: Options): Promise<void> {
  await using lab = await Lab.open();
  const { rows, goals } = await runTelemetry(lab, options, seededRandom(options.seed), progress);
  console.log(`${formatTable(rows)}\n\n${formatGoals(goals)}`);
  if (goals.some(({ outcome }) => outcome === "missed")) process.exitCode = 1;
}

async function image(options: Options): Promise<void> {
  const measured = await runImage(options, progress);
  const goals = judgeImage(measured);
  console.log(`${formatTable(imageRows(measured))}\n\n${formatGoals(goals)}`);
  if (goals.some(({ outcome }) => outcome === "missed")) process.exitCode = 1;
}

async function cores(options: Options): Promise<void> {
  const missing = await missingPinning();
  if (missing !== undefined) return console.log(`${missing}\n\n${formatGoals(judgeCores([]))}`);
  await using lab = await Lab.open();
  const machine = await describeMachine(lab.parts);
  const measured = await runCores(lab, options, seededRandom(options.seed), progress);
  const goals = judgeCores(measured);
  const table = formatTable(coresRows(measured, lab.parts));
  console.log(`${formatMachine(machine)}\n\n${table}\n\n${formatGoals(goals)}`);
  if (goals.some(({ outcome }) => outcome === "missed")) process.exitCode = 1;
}

async function oneShots(options: Options): Promise<void> {
  await using lab = await Lab.open();
  const machine = await describeMachine(lab.parts);
  const shots = await runOneShots(lab, options, seededRandom(options.seed), progress);
  const goals = judgeOneShots(shots, lab.parts.kmstool !== undefined);
  console.log(`${formatMachine(machine)}\n\n${formatTable(oneShotRows(shots))}\n\n${formatGoals(goals)}`);
  if (goals.some(({ outcome }) => outcome === "missed")) process.exitCode = 1;
}

async function bench(options: Options): Promise<void> {
  const plan = makePlan(options.isQuick, options.runtimes);
  const random = seededRandom(options.seed);
  await using lab = await Lab.open();
  const machine = await describeMachine(lab.parts);
  progress("cold start, memory, imports");
  const rows = [
    ...await startRows(lab, plan, options.runtimes, random),
    ...await allocationRows(lab, options.runtimes),
    ...await importRows(plan.starts, options.runtimes, random),
    ...await microRows(plan, options),
    ...plan.hasGuest ? await guestRows(progress) : [],
  ];
  const { measured, rounds } = await runRounds(lab, plan, random, progress);
  const results = makeResults(measured, lab.parts);
  const goals = judge({ measured, results, parts: lab.parts });
  const table = [...comparisonRows(results), ...loopRows(results), ...rows];
  console.log(`${formatMachine(machine)}\n\n${formatTable(table)}\n\n${formatGoals(goals)}`);
  const command = `npm run bench${process.argv.length > 2 ? ` -- ${process.argv.slice(2).join(" ")}` : ""}`;
  const report = { machine, command, seed: options.seed, rounds, goals, rows: table, results, measured };
  progress(`wrote ${(await writeReport(options.out, report)).join(", ")}`);
}

/** Measures parts of the library by themselves, on each runtime in turn. */
async function microRows({ turns }: Plan, { runtimes }: Options): Promise<Row[]> {
  const rows: Row[] = [];
  for (const part of PARTS) {
    for (const runtime of runtimes) {
      progress(`${part} on ${runtime}`);
      await using child = new Child(commandOf(runtime, "micro.ts"));
      rows.push(...await child.ask<Row[]>({ part, ...turns[part] } satisfies MicroOrder));
    }
  }
  return rows;
}

function progress(text: string): void {
  console.error(`${(performance.now() / 1000).toFixed(1).padStart(6)} s  ${text}`);
}
