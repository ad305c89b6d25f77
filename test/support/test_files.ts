import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Runtime, runtimeOf } from "./divided.ts";

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
  /^test\/lib\/kms\/recipient\/(?:read_envelope|document_cache|nsm_recipient|recipient_rotation)\.test\.ts$/,
];

/** Those that read the repository's own texts, and find the same in them on every runtime. */
const READS_TEXTS = /^test\/(?:documents|pages|prose|structure)\.test\.ts$/;

/** Rooms that call the runtime or C, and those whose attackers and faults do: each file runs on both. */
const NEEDS_BOTH =
  /^test\/(?:api|faults|ffi|hostile|soak|support|lib\/(?:channel|core|kms|native|nsm|transport))\//;

/** Words of a file that looks at the runtime, calls C, or divides its own cases. */
const LOOKS_AT_RUNTIME = /\bDeno\b|\bRUNTIME|\bglobalThis\b|\/support\/(?:capabilities|engines|share)\.ts"/;

/** Test files by what they may share. */
export interface TestFiles {
  /** May run in one process, one after the other. */
  readonly together: readonly string[];
  /**
   * Each in a process of its own: what they do to C's state, such as a key pair that a worker leaves when it
   * is ended, would show in the files after it.
   */
  readonly alone: readonly string[];
  /** Those of `together` that say the same on every runtime. */
  readonly ofTexts: readonly string[];
}

/** @returns Every test file, as a path from the repository's root */
export function testFiles(): TestFiles {
  const paths = testPaths();
  const isAlone = (path: string) =>
    OWN_PROCESS.some((pattern) => pattern.test(path)) && !LOADS_NOTHING.some((pattern) => pattern.test(path));
  return {
    together: paths.filter((path) => !isAlone(path)),
    alone: paths.filter(isAlone),
    ofTexts: paths.filter((path) => READS_TEXTS.test(path)),
  };
}

function testPaths(): readonly string[] {
  return readdirSync(FOLDER, { recursive: true })
    .map((name) => join(FOLDER, String(name)))
    .filter((path) => path.endsWith(".test.ts") && !path.includes("node_modules"))
    .sort();
}

/**
 * Divides the files that test what is the same on both runtimes: those of a folder go to each in turn.
 *
 * @param runtime The one that runs them
 * @returns Its share of all test files
 */
export function shareOfFiles(runtime: Runtime): readonly string[] {
  const numbers = new Map<string, number>();
  return testPaths().filter((path) => {
    if (needsBoth(path)) return true;
    if (READS_TEXTS.test(path)) return runtime === "Node";
    const folder = dirname(path);
    const number = numbers.get(folder) ?? 0;
    numbers.set(folder, number + 1);
    return runtimeOf(number, basename(folder).length % 2 === 0 ? "Node" : "Deno") === runtime;
  });
}

function needsBoth(path: string): boolean {
  if (READS_TEXTS.test(path)) return false;
  return NEEDS_BOTH.test(path) || LOOKS_AT_RUNTIME.test(readFileSync(path, "utf8"));
}
