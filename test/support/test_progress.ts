/**
 * Notes which test a process has started or finished last, for the runner to name a file that hangs.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** The variable with the folder for the notes. Without it nothing is noted. */
export const PROGRESS_VARIABLE = "ENCLAVE_KMS_TEST_PROGRESS";

/**
 * Notes what this process does, in a file named by its id.
 *
 * @param what The test file, and the test that started or finished
 */
export function noteProgress(what: string): void {
  const folder = process.env[PROGRESS_VARIABLE];
  if (folder !== undefined) writeFileSync(join(folder, String(process.pid)), what);
}
