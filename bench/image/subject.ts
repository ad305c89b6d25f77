/**
 * A process that builds the image of `FOLDER/image.json` once, and hashes the same bytes by SHA-384, in the order that its
 * one line of input says. A process builds once, so that its peak of memory is that of one build.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { buildImage } from "../../deploy/eif/build_image.ts";
import { fileSource } from "../../deploy/eif/file_source.ts";
import { readPieces } from "../../deploy/eif/image_source.ts";
import type { ImageRound } from "./run.ts";

const [folder = ""] = process.argv.slice(2);

for await (const line of createInterface(process.stdin)) {
  process.stdout.write(`${JSON.stringify(await measure(JSON.parse(line) === "build first"))}\n`);
}

async function measure(isBuildFirst: boolean): Promise<ImageRound> {
  const before = isBuildFirst ? undefined : await timeOf(hash);
  const buildMs = await timeOf(build);
  const hashMs = before ?? await timeOf(hash);
  return { buildMs, hashMs, peakMib: peakKib() / 1024 };
}

/** Measures the CPU time of the whole process, which does not count who else wants the cores. */
async function timeOf(work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

async function build(): Promise<void> {
  await buildImage({ manifest: `${folder}/image.json`, output: `${folder}/out-${process.pid}` });
}

/** Hashes the file that the image is made of, piece by piece. */
async function hash(): Promise<void> {
  await using source = await fileSource(`${folder}/runtime`);
  const sha384 = createHash("sha384");
  for await (const piece of readPieces(source, 0, source.size)) sha384.update(piece);
  sha384.digest();
}

/** Largest resident memory of the process so far. */
function peakKib(): number {
  const [, kib = "NaN"] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return Number(kib);
}
