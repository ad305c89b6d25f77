import process from "node:process";
import { STDOUT, writeAll } from "../lib/core/write_all.ts";

/** Exit code for output that was lost: EX_IOERR of sysexits.h. */
const OUTPUT_LOST = 74;

/**
 * Prints a line of what the program is run for. Ends the process when that cannot be done: nobody is left to show
 * anything to, and a good end would say that all was shown.
 *
 * @param line Without its newline
 */
export async function print(line: string): Promise<void> {
  try {
    await writeAll(STDOUT, `${line}\n`);
  } catch {
    process.exit(OUTPUT_LOST);
  }
}
