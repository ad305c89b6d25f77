import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { type Bar, barChart, type Panel } from "./chart.ts";
import type { Goal } from "./goals.ts";
import type { Result } from "./results.ts";
import type { Measured } from "./rounds.ts";
import type { Parts } from "./setting.ts";
import type { Row } from "./table.ts";

/** Machine on which the run took place. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly parts: Readonly<Record<string, string>>;
}

/** Everything that one run found. */
export interface Report {
  readonly machine: Machine;
  readonly command: string;
  readonly seed: number;
  readonly rounds: number;
  readonly goals: readonly Goal[];
  readonly rows: readonly Row[];
  readonly results: readonly Result[];
  readonly measured: readonly Measured[];
}

/**
 * Describes this machine.
 *
 * @param parts Parts that were measured
 */
export async function describeMachine({ kmstool, sdkLibrary, sdkCrypto }: Parts): Promise<Machine> {
  const { stdout } = await promisify(execFile)("deno", ["--version"]).catch(() => ({ stdout: "" }));
  const [first] = cpus();
  const manifest = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8"));
  return {
    cpu: first?.model ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    versions: {
      "enclave-kms": manifest.version,
      Node: process.versions.node,
      Deno: /^deno (\S+)/.exec(stdout)?.[1] ?? "none",
      "@aws-sdk/client-kms": manifest.devDependencies["@aws-sdk/client-kms"],
    },
    parts: {
      subprocess: kmstool === undefined ? "own command line" : "kmstool_enclave_cli",
      "C SDK": sdkLibrary === undefined ? "none" : `${nameOf(sdkLibrary)} over ${sdkCrypto}`,
    },
  };
}

function nameOf(sdkLibrary: string): string {
  return sdkLibrary.includes("double") ? "double" : "real";
}

/** Formats the line above the table. */
export function formatMachine({ cpu, cores, memoryGiB, kernel, versions, parts }: Machine): string {
  const pairs = Object.entries({ ...versions, ...parts }).map(([name, value]) => `${name} ${value}`);
  return `${cpu}, ${cores} cores, ${memoryGiB} GiB, Linux ${kernel}; ${pairs.join(", ")}`;
}

/**
 * Writes the results and the chart.
 *
 * @param folder Folder, made if it does not exist
 * @param report Everything
 * @returns The paths of the files written
 */
export async function writeReport(folder: string, report: Report): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const [json, chart] = [join(folder, "results.json"), join(folder, "chart.svg")];
  await writeFile(json, `${JSON.stringify(report, shorten)}\n`);
  await writeFile(chart, barChart(panelsOf(report.results), "decrypts a second"));
  return [json, chart];
}

/** Rounds lists of milliseconds to the microsecond. */
function shorten(_name: string, value: unknown): unknown {
  const isList = Array.isArray(value) && value.every((item) => typeof item === "number");
  return isList ? value.map((item) => Math.round(item * 1000) / 1000) : value;
}

/** Makes the panels: throughput without a network, one for each concurrency. */
function panelsOf(results: readonly Result[]): Panel[] {
  const shown = results.filter(({ cell }) => cell.roundTripMs === 0 && !cell.watchesLoop);
  const counts = [...new Set(shown.map(({ cell }) => cell.atOnce))];
  return counts.map((atOnce) => ({
    title: `${atOnce} at once`,
    bars: shown.filter(({ cell }) => cell.atOnce === atOnce).map(({ label, cell, perSecond }): Bar => ({
      label: `${label} (${cell.runtime})`,
      value: perSecond,
      series: cell.runtime,
    })),
  }));
}
