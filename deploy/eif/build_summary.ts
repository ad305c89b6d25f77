import { ImageError } from "../../lib/core/errors.ts";
import { parseStrictJson } from "../strict_json.ts";

/** Summary of a build, as `build-summary.json` has it. */
export interface BuildSummary {
  /** Name of the application, of the manifest. */
  readonly name: string;
  /** Version of the application, of the manifest. */
  readonly version: string;
  /** Processor: `x86_64` or `arm64`. */
  readonly architecture: string;
  /** Commit that it was built from, as the builder was told. */
  readonly commit?: string | undefined;
  /** PCRs as lowercase hex: 0, 1, 2, and 8 when the image is signed. */
  readonly pcrs: Readonly<Record<string, string>>;
  /** File that was built. */
  readonly image: {
    /** Length of the file, in bytes. */
    readonly bytes: number;
    /** SHA-384 of the file, lowercase hex. A signature differs each time, and so does it then. */
    readonly sha384: string;
    /** Memory that an enclave of it needs at least, in MiB: four times the file. */
    readonly leastMemoryMib: number;
  };
  /** SHA-256 of the manifest and of each file, by its path in the image. */
  readonly inputs: Readonly<Record<string, string>>;
}

/**
 * Reads the PCRs of a summary, of ours or of nitro-cli's (`Measurements`).
 *
 * @param text JSON of `build-summary.json` or `pcr-values.json`
 * @returns PCRs as lowercase hex, by index: 0 at least
 * @throws {ImageError} When it is neither, or a PCR is malformed or zero
 */
export function readSummaryPcrs(text: string): Readonly<Record<number, string>> {
  const { pcrs, Measurements } = (parseStrictJson(text, notASummary) ?? {}) as Readonly<
    Record<string, unknown>
  >;
  if (pcrs !== undefined && Measurements !== undefined) {
    throw notASummary("it has both pcrs and Measurements");
  }
  const given = Object.entries((pcrs ?? Measurements ?? {}) as Readonly<Record<string, unknown>>)
    .filter(([name]) => name !== "HashAlgorithm")
    .map(([name, pcr]) => [name.replace(/^PCR/, ""), pcr] as const);
  const read: Record<string, string> = {};
  for (const [index, pcr] of given) {
    if (!/^(?:[12]?[0-9]|3[01])$/.test(index)) throw notASummary("it names what is no PCR");
    if (typeof pcr !== "string" || !/^[0-9a-f]{96}$/i.test(pcr)) {
      throw notASummary(`PCR${index} is not 96 hex digits`);
    }
    if (/^0+$/.test(pcr)) throw notASummary(`PCR${index} is zero, as in debug mode`);
    if (read[index] !== undefined) throw notASummary(`PCR${index} is there twice`);
    read[index] = pcr.toLowerCase();
  }
  if (read[0] === undefined) throw notASummary("it has no PCR0");
  return read;
}

/**
 * Reads of a summary what a key policy compares.
 *
 * @param text JSON of `build-summary.json` or `pcr-values.json`
 * @returns PCR0, and PCR8 of a signed image
 * @throws {ImageError} When it is neither, or a PCR is malformed or zero
 */
export function readSummaryImage(
  text: string,
): { readonly pcr0: string; readonly pcr8?: string | undefined } {
  const pcrs = readSummaryPcrs(text);
  return { pcr0: pcrs[0]!, ...(pcrs[8] === undefined ? {} : { pcr8: pcrs[8] }) };
}

function notASummary(why: string): ImageError {
  return new ImageError(`Cannot read the build summary: ${why}`, {
    hint: "Is it build-summary.json or pcr-values.json, or what nitro-cli build-enclave printed?",
  });
}
