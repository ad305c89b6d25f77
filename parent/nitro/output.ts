import { LaunchError } from "../../lib/core/errors.ts";

/** States of an enclave in nitro-cli. */
const STATES = ["EMPTY", "RUNNING", "TERMINATING"] as const;

/** Enclave as nitro-cli tells of it. */
export interface EnclaveDescription {
  /** Id, such as `i-0123456789abcdef0-enc1899a5fd9e9c2a3`. */
  readonly id: string;
  /** Name; undefined by a nitro-cli that has none yet. */
  readonly name: string | undefined;
  /** CID. */
  readonly cid: number;
  /** Number of CPUs. */
  readonly cpuCount: number;
  /** Memory in MiB. */
  readonly memoryMib: number;
}

/** Enclave that exists, as `describe-enclaves` tells of it. */
export interface DescribedEnclave extends EnclaveDescription {
  /** State. */
  readonly state: (typeof STATES)[number];
  /** Whether it runs in debug mode, in which its console is readable and its PCRs are zero. */
  readonly isDebug: boolean;
}

/** Most beginnings, and ends, of JSON that are tried among the noise. */
const MAX_TRIES = 32;

const MAX_ENCLAVES = 64;

const ID = /^i-[0-9a-z]{1,40}-enc[0-9a-f]{1,16}$/;

/** Name that may stand in the file system, on a terminal and in a metric. */
const NAME = /^[\w.+@:-]{1,255}$/;

/**
 * Reads the answer of `nitro-cli run-enclave`, among lines of noise.
 *
 * @param text Standard output
 * @throws {LaunchError} When there is no such answer, or it is malformed
 */
export function readRunAnswer(text: string): EnclaveDescription {
  return describedBy("run-enclave", findJson("run-enclave", text, "{", "}"));
}

/**
 * Reads the answer of `nitro-cli describe-enclaves`, among lines of noise.
 *
 * @param text Standard output
 * @throws {LaunchError} When there is no such answer, or it is malformed
 */
export function readDescribeAnswer(text: string): readonly DescribedEnclave[] {
  const command = "describe-enclaves";
  const list = findJson(command, text, "[", "]") as readonly unknown[];
  if (list.length > MAX_ENCLAVES) throw malformed(command, `it has more than ${MAX_ENCLAVES} enclaves`);
  return list.map((entry) => {
    const fields = fieldsOf(command, entry);
    const state = STATES.find((known) => known === fields["State"]);
    if (state === undefined) throw malformed(command, "State is none of EMPTY, RUNNING, TERMINATING");
    const flags = fields["Flags"];
    if (flags !== "NONE" && flags !== "DEBUG_MODE") {
      throw malformed(command, "Flags is neither NONE nor DEBUG_MODE");
    }
    return { ...describedBy(command, entry), state, isDebug: flags === "DEBUG_MODE" };
  });
}

/**
 * Reads the answer of `nitro-cli terminate-enclave`, among lines of noise.
 *
 * @param text Standard output
 * @param id Id of the enclave
 * @throws {LaunchError} When there is no such answer, or it says that the enclave was not ended
 */
export function checkTerminateAnswer(text: string, id: string): void {
  const command = "terminate-enclave";
  const fields = fieldsOf(command, findJson(command, text, "{", "}"));
  if (fields["EnclaveID"] !== id) throw malformed(command, "EnclaveID is another one");
  if (fields["Terminated"] !== true) throw malformed(command, "Terminated is not true");
}

function describedBy(command: string, value: unknown): EnclaveDescription {
  const fields = fieldsOf(command, value);
  const { EnclaveID: id, EnclaveName: name } = fields;
  if (typeof id !== "string" || !ID.test(id)) throw malformed(command, "EnclaveID is no id of an enclave");
  if (name !== undefined && (typeof name !== "string" || !NAME.test(name))) {
    throw malformed(command, "EnclaveName is no name");
  }
  const number = (field: string): number => {
    const found = fields[field];
    if (Number.isSafeInteger(found) && (found as number) >= 0) return found as number;
    throw malformed(command, `${field} is no whole number`);
  };
  return {
    id,
    name,
    cid: number("EnclaveCID"),
    cpuCount: number("NumberOfCPUs"),
    memoryMib: number("MemoryMiB"),
  };
}

function fieldsOf(command: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw malformed(command, "an object is expected");
}

/**
 * Finds the first JSON with enclaves that begins a line and ends one. A line of noise may begin with a bracket as well, or
 * be JSON of another kind.
 */
function findJson(command: string, text: string, open: string, close: string): unknown {
  const begins = placesOf(text, new RegExp(`^\\${open}`, "gm")).slice(0, MAX_TRIES);
  const ends = placesOf(text, new RegExp(`\\${close}(?=[ \\t\\r]*$)`, "gm")).reverse().slice(0, MAX_TRIES);
  for (const begin of begins) {
    for (const end of ends) {
      if (end < begin) break;
      const value = tryParse(text.slice(begin, end + 1));
      if (tellsOfEnclaves(value)) return value;
    }
  }
  throw malformed(command, "there is no JSON of it");
}

function tellsOfEnclaves(value: unknown): boolean {
  return Array.isArray(value) ? value.every(isEnclave) : isEnclave(value);
}

function isEnclave(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.hasOwn(value, "EnclaveID");
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function placesOf(text: string, pattern: RegExp): number[] {
  return [...text.matchAll(pattern)].map(({ index }) => index);
}

function malformed(command: string, reason: string): LaunchError {
  return new LaunchError(`Cannot read the answer of nitro-cli ${command}: ${reason}`, {
    hint: "Is it nitro-cli 1.2 or newer, and nothing in its place?",
  });
}
