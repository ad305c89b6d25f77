import { readPcrsText } from "../../deploy/inputs/pcrs_text.ts";
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

function readPcrsFile(path: string): Readonly<Record<number, string>> {
  return readPcrsText(readText("pcrs", path), (why) => new UsageError(`--pcrs must be ${why}`));
}
