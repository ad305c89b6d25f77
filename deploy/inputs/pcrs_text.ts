import { ImageError } from "../../lib/core/errors.ts";
import { readSummaryPcrs } from "../eif/build_summary.ts";
import { parseStrictJson } from "../strict_json.ts";

/**
 * Reads the registers of an image from JSON: build-summary.json, or what nitro-cli prints for `build-enclave`,
 * `describe-eif` and `describe-enclaves`, whole or its `Measurements` alone.
 *
 * @param text The JSON
 * @param refuse Makes the error of the end of a sentence: `JSON of an image: it is not JSON`
 * @returns Registers in lowercase hex, PCR0 at least
 * @throws {Error} The error of `refuse`, when it is none of them, or has several enclaves of different images
 */
export function readPcrsText(text: string, refuse: Refuse): Readonly<Record<number, string>> {
  const value = parseStrictJson(text, (why) => refuse(`JSON of an image: ${why}`));
  const images = Array.isArray(value) ? value : [value];
  const read = images.map((image) => pcrsOf(image, refuse));
  const [first] = read;
  if (first === undefined) throw refuse("JSON of an image: no enclave runs");
  if (read.every((other) => isSame(other, first))) return first;
  throw refuse(`of one image: it has ${read.length} enclaves of different ones`);
}

/** Maker of an error from the end of a sentence. */
type Refuse = (why: string) => Error;

function pcrsOf(image: unknown, refuse: Refuse): Readonly<Record<number, string>> {
  const names = typeof image === "object" && image !== null ? Object.keys(image) : [];
  const isBare = names.length > 0 && names.every((name) => /^(?:PCR\d{1,2}|HashAlgorithm)$/.test(name));
  try {
    return readSummaryPcrs(JSON.stringify(isBare ? { Measurements: image } : image));
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    const why = error.message.replace(/^Cannot read the build summary: /, "");
    throw refuse(`build-summary.json, or JSON of nitro-cli with Measurements: ${why}`);
  }
}

function isSame(one: Readonly<Record<number, string>>, other: Readonly<Record<number, string>>): boolean {
  const indices = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...indices].every((index) => one[Number(index)] === other[Number(index)]);
}
