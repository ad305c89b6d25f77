import { readdirSync } from "node:fs";
import { join } from "node:path";

/** The tests, from the repository's root. */
const FOLDER = "test";

/** All that load the double of the C SDK. */
const OWN_PROCESS: readonly RegExp[] = [
  /^test\/(?:faults|hostile|soak)\//,
  /^test\/lib\/kms\/(?!https\/|operations\/).+$/,
  /^test\/lib\/native\//,
  /^test\/cli\/surroundings\.test\.ts$/,
];

/** Those beside them that load nothing of the kind: a process of its own takes longer than they do. */
const LOADS_NOTHING: readonly RegExp[] = [
  /^test\/faults\/matrix\.test\.ts$/,
  /^test\/hostile\/caller\.test\.ts$/,
  /^test\/soak\/growth\.test\.ts$/,
  /^test\/lib\/kms\/(?:data_key|kms_client|kms_client_calls|kms_options)\.test\.ts$/,
  /^test\/lib\/kms\/(?:missing_parts|safeguards)\.test\.ts$/,
  /^test\/lib\/kms\/recipient\/(?:cms_envelope|document_cache|nsm_recipient|recipient_rotation)\.test\.ts$/,
];

/** Test files by what they may share. */
export interface TestFiles {
  /** May run in one process, one after the other. */
  readonly together: readonly string[];
  /**
   * Each in a process of its own: what they do to C's state, such as a key pair that a worker leaves when it
   * is ended, would show in the files after it.
   */
  readonly alone: readonly string[];
}

/** @returns Every test file, as a path from the repository's root */
export function testFiles(): TestFiles {
  const paths = readdirSync(FOLDER, { recursive: true })
    .map((name) => join(FOLDER, String(name)))
    .filter((path) => path.endsWith(".test.ts") && !path.includes("node_modules"));
  const isAlone = (path: string) =>
    OWN_PROCESS.some((pattern) => pattern.test(path)) && !LOADS_NOTHING.some((pattern) => pattern.test(path));
  return { together: paths.filter((path) => !isAlone(path)), alone: paths.filter(isAlone) };
}
