import process from "node:process";
import { STDOUT, writeAll } from "../lib/core/write_all.ts";

/** Exit code for output that was lost: EX_IOERR of sysexits.h. */
const OUTPUT_LOST = 74;

/**
 * Prints a line of the program's output. Ends the process with a failure when it cannot: its output is its
 * purpose.
 *
 * @param line The line without its newline
 */
export async function print(line: string): Promise<void> {
  try {
    await writeAll(STDOUT, `${line}\n`);
  } catch {
    process.exit(OUTPUT_LOST);
  }
}
