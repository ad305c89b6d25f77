import { readSummaryPcrs } from "../../deploy/eif/build_summary.ts";
import { parseStrictJson } from "../../deploy/strict_json.ts";
import { ImageError } from "../../lib/core/errors.ts";
import type { Arguments } from "../arguments.ts";
import { UsageError } from "../usage_error.ts";
import { bytes, readText } from "../values.ts";

/** Expected values of each register, one of which a document must have. */
export type ExpectedPcrs = Readonly<Record<number, readonly Uint8Array[]>>;

/**
 * Reads the expected registers of `--pcr` and `--pcrs`. A register that both name is refused: which of both values is
 * meant cannot be told.
 *
 * @param args Flags of the command
 * @returns Values by register; undefined when no register is expected
 * @throws {UsageError} When a value is malformed, or the file holds no registers
 */
export function expectedPcrs(args: Arguments): ExpectedPcrs | undefined {
  const pcrs: Record<number, Uint8Array[]> = {};
  for (const text of args.all("pcr")) {
    const [, index, value] = /^(\d{1,2})=([\da-f]+)$/i.exec(text) ?? [];
    const hex = value !== undefined && [64, 96, 128].includes(value.length) ? bytes("pcr", value) : undefined;
    if (hex === undefined || Number(index) > 31) {
      throw new UsageError("--pcr must be a number from 0 to 31, =, and 64, 96 or 128 hex digits");
    }
    (pcrs[Number(index)] ??= []).push(hex);
  }
  const file = args.get("pcrs");
  for (const [index, value] of file === undefined ? [] : Object.entries(readPcrsFile(file))) {
    if (pcrs[Number(index)] !== undefined) throw new UsageError(`--pcr and --pcrs both name PCR${index}`);
    pcrs[Number(index)] = [bytes("pcrs", value)];
  }
  return Object.keys(pcrs).length === 0 ? undefined : pcrs;
}

/**
 * Reads the registers of an image from JSON: build-summary.json, or what nitro-cli prints for `build-enclave`,
 * `describe-eif` and `describe-enclaves`, whole or its `Measurements` alone.
 *
 * @param path Path of the file
 * @returns Registers in lowercase hex, PCR0 at least
 * @throws {UsageError} When it is none of them, or has several enclaves of different images
 */
export function readPcrsFile(path: string): Readonly<Record<number, string>> {
  const text = readText("pcrs", path);
  const value = parseStrictJson(text, (why) => new UsageError(`--pcrs must be JSON of an image: ${why}`));
  const images = Array.isArray(value) ? value : [value];
  const read = images.map((image) => pcrsOf(image));
  const [first] = read;
  if (first === undefined) throw new UsageError("--pcrs must be JSON of an image: no enclave runs");
  if (read.every((other) => isSame(other, first))) return first;
  throw new UsageError(`--pcrs must be of one image: it has ${read.length} enclaves of different ones`);
}

function pcrsOf(image: unknown): Readonly<Record<number, string>> {
  const names = typeof image === "object" && image !== null ? Object.keys(image) : [];
  const isBare = names.length > 0 && names.every((name) => /^(?:PCR\d{1,2}|HashAlgorithm)$/.test(name));
  try {
    return readSummaryPcrs(JSON.stringify(isBare ? { Measurements: image } : image));
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    const why = error.message.replace(/^Cannot read the build summary: /, "");
    throw new UsageError(`--pcrs must be build-summary.json, or JSON of nitro-cli with Measurements: ${why}`);
  }
}

function isSame(one: Readonly<Record<number, string>>, other: Readonly<Record<number, string>>): boolean {
  const indices = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...indices].every((index) => one[Number(index)] === other[Number(index)]);
}
