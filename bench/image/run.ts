/**
 * The image builder on an image of 150 MB, beside SHA-384 over the same bytes in the same process.
 *
 * @module
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "../child.ts";
import type { Goal } from "../goals.ts";
import { commandOf, type Runtime } from "../runtimes.ts";
import { median, medianRatio } from "../statistics.ts";
import type { Row } from "../table.ts";

/** Measurements of one process: CPU time, of all its threads. */
export interface ImageRound {
  readonly buildMs: number;
  readonly hashMs: number;
  /** Largest resident memory, the runtime's own included, in MiB. */
  readonly peakMib: number;
}

/** Bytes of the application; kernel and bootstrap are small beside it. */
const IMAGE_BYTES = 150_000_000;

/**
 * Largest ratio to one SHA-384. The builder hashes everything six times: by the manifest's hash, for two PCRs, and for those
 * and the file when it reads again what it wrote; and it writes, and computes the CRC twice.
 */
const MOST_HASHES = 9;

/** Largest memory, in MiB, and most CPU time, in milliseconds. */
const MOST_MIB = 200;
const MOST_MS = 3000;

const SECTION = "Image of 150 MB";

/** Options of the measurement. */
export interface ImageBenchOptions {
  /** Fewer rounds. */
  readonly isQuick: boolean;
  readonly runtimes: readonly Runtime[];
}

/**
 * Builds in a fresh process for each round, and each of both first in turn.
 *
 * @param options Runtimes and length
 * @param progress Gets a line for each runtime
 * @returns Rounds of each runtime
 */
export async function runImage(
  { isQuick, runtimes }: ImageBenchOptions,
  progress: (text: string) => void,
): Promise<ReadonlyMap<Runtime, readonly ImageRound[]>> {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-bench-image-"));
  try {
    writeSources(folder);
    const measured = new Map<Runtime, readonly ImageRound[]>();
    for (const runtime of runtimes) {
      progress(`image on ${runtime}`);
      const rounds: ImageRound[] = [];
      for (let round = 0; round < (isQuick ? 3 : 9); round++) {
        await using child = new Child(commandOf(runtime, "image/subject.ts", [folder]));
        rounds.push(await child.ask<ImageRound>(round % 2 === 0 ? "build first" : "hash first"));
        rmSync(join(folder, `out-${child.pid}`), { recursive: true, force: true });
      }
      measured.set(runtime, rounds);
    }
    return measured;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Makes the rows of the table.
 *
 * @param measured Rounds of each runtime
 */
export function imageRows(measured: ReadonlyMap<Runtime, readonly ImageRound[]>): Row[] {
  return [...measured].flatMap(([runtime, rounds]): Row[] => [
    {
      section: SECTION,
      what: "built, read again and measured",
      runtime,
      p50: median(rounds.map(({ buildMs }) => buildMs)),
      unit: "ms CPU",
      ratio: ratioOf(rounds),
      baseline: "SHA-384 of it",
    },
    {
      section: SECTION,
      what: "SHA-384 of it",
      runtime,
      p50: median(rounds.map(({ hashMs }) => hashMs)),
      unit: "ms CPU",
    },
    { section: SECTION, what: "peak of memory", runtime, p50: peakOf(rounds), unit: "MiB" },
  ]);
}

/**
 * Judges the goals.
 *
 * @param measured Rounds of each runtime
 */
export function judgeImage(measured: ReadonlyMap<Runtime, readonly ImageRound[]>): Goal[] {
  return [...measured].flatMap(([runtime, rounds]) => [
    goal(`${runtime}, build of 150 MB against one SHA-384 of it`, ratioOf(rounds), MOST_HASHES, " x"),
    goal(
      `${runtime}, CPU time of a build of 150 MB`,
      median(rounds.map(({ buildMs }) => buildMs)),
      MOST_MS,
      " ms",
    ),
    goal(`${runtime}, peak of memory of a build of 150 MB`, peakOf(rounds), MOST_MIB, " MiB"),
  ]);
}

function goal(name: string, value: number, bound: number, unit: string): Goal {
  return {
    goal: name,
    value,
    bound,
    direction: "at most",
    unit,
    outcome: value <= bound ? "passed" : "missed",
  };
}

function ratioOf(rounds: readonly ImageRound[]): number {
  return medianRatio(rounds.map(({ buildMs }) => buildMs), rounds.map(({ hashMs }) => hashMs));
}

function peakOf(rounds: readonly ImageRound[]): number {
  return Math.max(...rounds.map(({ peakMib }) => peakMib));
}

function writeSources(folder: string): void {
  const file = (name: string, bytes: Uint8Array) => {
    writeFileSync(join(folder, name), bytes);
    return { from: name, sha256: createHash("sha256").update(bytes).digest("hex") };
  };
  const manifest = {
    manifestVersion: 1,
    name: "bench",
    version: "1",
    architecture: "x86_64",
    kernel: file("kernel", randomBytes(1000)),
    commandLine: "quiet",
    bootstrap: [{ path: "init", mode: "0755", ...file("init", randomBytes(1000)) }],
    application: [{ path: "runtime", mode: "0755", ...file("runtime", randomBytes(IMAGE_BYTES)) }],
    command: ["/runtime"],
    environment: {},
  };
  writeFileSync(join(folder, "image.json"), JSON.stringify(manifest));
}
