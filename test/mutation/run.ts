/**
 * `npm run mutate [-- [--software] [--incremental] area ...]`: changes the library in one place at a time
 * (Stryker), and sees whether a test notices. Says what survived, and ends with 1 where the tests of an area
 * notice less than 85 % of the changes.
 *
 * @module
 */
import { Stryker } from "@stryker-mutator/core";
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { SUPERVISED_VARIABLE } from "../../sim/instruments.ts";
import { runSupervised } from "../support/supervised_run.ts";
import { type Area, AREAS } from "./areas.ts";
import { type Unnoticeable, unnoticeable } from "./equivalents.ts";

type StrykerOptions = ConstructorParameters<typeof Stryker>[0];
type Mutant = Awaited<ReturnType<Stryker["runMutationTest"]>>[number];

/** The least that the tests must notice, in percent. */
const LEAST_SCORE = 85;

/** Reports, and copies of the library to be changed. Neither git nor the formatter looks there. */
const FOLDER = "build/mutation";

/** Headings of the table at the end. */
const HEADINGS = "area        mutants   noticed equivalent elsewhere      open    errors    score";

const NOTICED = ["Killed", "Timeout"];
const UNNOTICED = ["Survived", "NoCoverage"];

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    // Only the mutants that what changed since the last run concerns: quick, and not to be relied on. It does not
    // see a change of what the cases of a test are read from, and repeats what it found of constants.
    incremental: { type: "boolean", default: false },
    // Without /dev/nsm: fewer tests, which suffices for what is not near it.
    software: { type: "boolean", default: false },
  },
});

const isAlone = values.software || process.env[SUPERVISED_VARIABLE] !== undefined;
process.exitCode = isAlone ? await main() : await runSupervised() ?? await main();

async function main(): Promise<number> {
  const names = positionals.length > 0 ? positionals : Object.keys(AREAS);
  const unknown = names.filter((name) => !(name in AREAS));
  if (unknown.length > 0) {
    console.error(`No such area: ${unknown.join(", ")}. There are ${Object.keys(AREAS).join(", ")}`);
    return 2;
  }
  const summaries: Summary[] = [];
  for (const name of names) {
    const results = await mutate(name, AREAS[name]!);
    for (const line of survivors(results)) console.log(line);
    summaries.push(summarize(name, results));
    console.log(`\n${HEADINGS}\n${summaries.map(row).join("\n")}\n`);
  }
  return summaries.every(({ score }) => score >= LEAST_SCORE) ? 0 : 1;
}

function mutate(name: string, { mutate, tests, processes }: Area): Promise<Mutant[]> {
  process.env["MUTATION_TESTS"] = tests.join(" ");
  const options: StrykerOptions = {
    mutate: [...mutate],
    testRunner: "vitest",
    vitest: {
      configFile: "test/mutation/vitest.config.ts",
      related: false,
      pool: processes ? "forks" : "threads",
    },
    plugins: ["@stryker-mutator/vitest-runner"],
    coverageAnalysis: "perTest",
    concurrency: 1,
    tempDirName: join(FOLDER, name),
    ignorePatterns: ["bench", "build"],
    reporters: ["json", "progress-append-only"],
    jsonReporter: { fileName: join(FOLDER, `${name}.json`) },
    incremental: values.incremental,
    incrementalFile: join(FOLDER, `${name}.incremental.json`),
    // It would rewrite the paths in it with functions that TypeScript 7 does not have.
    tsconfigFile: "none",
  };
  return new Stryker(options).runMutationTest();
}

interface Summary {
  readonly name: string;
  readonly mutants: number;
  readonly noticed: number;
  /** Not noticed, for the library does the same. */
  readonly equivalent: number;
  /** Not noticed here, but by a test that is not run for this. */
  readonly elsewhere: number;
  /** Not noticed, and nobody has said why. */
  readonly open: number;
  readonly errors: number;
  /** In percent: of all mutants that run, those that cannot be noticed among them. */
  readonly score: number;
}

function summarize(name: string, results: readonly Mutant[]): Summary {
  const noticed = results.filter(({ status }) => NOTICED.includes(status)).length;
  const unnoticed = results.filter(({ status }) => UNNOTICED.includes(status));
  const of = (kind: Unnoticeable["kind"] | undefined) =>
    unnoticed.filter((mutant) => judgement(mutant)?.kind === kind).length;
  const mutants = noticed + unnoticed.length;
  return {
    name,
    mutants,
    noticed,
    equivalent: of("equivalent"),
    elsewhere: of("elsewhere"),
    open: of(undefined),
    errors: results.length - mutants,
    score: 100 * noticed / mutants,
  };
}

function row({ name, mutants, noticed, equivalent, elsewhere, open, errors, score }: Summary): string {
  const cells = [mutants, noticed, equivalent, elsewhere, open, errors];
  return `${name.padEnd(9)}${cells.map((count) => String(count).padStart(10)).join("")}  ${
    score.toFixed(1).padStart(6)
  } %`;
}

/** Lists the mutants that no test noticed and that are not in the list of equivalents. */
function survivors(results: readonly Mutant[]): string[] {
  return results
    .filter((mutant) => UNNOTICED.includes(mutant.status) && judgement(mutant) === undefined)
    .map((mutant) => {
      const { fileName, location: { start }, mutatorName, replacement, status } = mutant;
      const where = `${relative("", fileName)}:${start.line}:${start.column}`;
      return `${where} ${status} ${mutatorName}: ${textOf(mutant)} -> ${replacement}`;
    });
}

function judgement(mutant: Mutant): Unnoticeable | undefined {
  const { fileName, location: { start }, replacement } = mutant;
  const line = readFileSync(fileName, "utf8").split("\n")[start.line - 1] ?? "";
  return unnoticeable(relative("", fileName), textOf(mutant), line, replacement);
}

/** Reads the text that the mutant replaces, on one line. */
function textOf({ fileName, location: { start, end } }: Mutant): string {
  const lines = readFileSync(fileName, "utf8").split("\n").slice(start.line - 1, end.line);
  lines[lines.length - 1] = lines.at(-1)!.slice(0, end.column - 1);
  lines[0] = lines[0]!.slice(start.column - 1);
  return lines.map((line) => line.trim()).join(" ");
}
