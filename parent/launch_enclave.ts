import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { checkFields, checkFlag, checkInteger, checkText } from "../lib/core/checks.ts";
import { MAX_TIMEOUT_MS } from "../lib/core/deadline.ts";
import { EnclaveKmsError, LaunchError } from "../lib/core/errors.ts";
import { DEFAULT_ENCLAVE_CID, ENCLAVE_CIDS } from "../lib/transport/enclave_ports.ts";
import { chooseMemoryMib } from "./nitro/enclave_memory.ts";
import { NitroCli, type RunRequest } from "./nitro/nitro_cli.ts";
import { type ConsoleFile, NitroEnclave } from "./nitro/nitro_enclave.ts";
import type { DescribedEnclave, EnclaveDescription } from "./nitro/output.ts";
import type { RunningEnclave } from "./running_enclave.ts";

export { DEFAULT_ENCLAVE_CID };

/** Image of an enclave, and what it gets. `eifPath` must be given. */
export interface LaunchOptions {
  /** Path of the image. */
  readonly eifPath: string;
  /** Name, 1 to 64 letters, digits and `_.-`. Default: `enclave-kms`. */
  readonly name?: string | undefined;
  /** CID, 4 to 2^32 - 2. Default: 16. */
  readonly cid?: number | undefined;
  /** Number of CPUs, 1 to 1024. Default: 2. */
  readonly cpuCount?: number | undefined;
  /** Memory in MiB. Default: four times the image, rounded up to 64, at least 512. */
  readonly memoryMib?: number | undefined;
  /** Whether in debug mode: everybody on the parent reads its console, and its PCRs are zero. Default: false. */
  readonly debug?: boolean | undefined;
  /** File for the console's output in debug mode. Default: none. */
  readonly consoleFile?: ConsoleFile | undefined;
  /** Name or path of nitro-cli. Default: `nitro-cli`. */
  readonly nitroCli?: string | undefined;
  /** Milliseconds for `run-enclave`, 10 to 2147483647; other commands have at most 30000. Default: 120000. */
  readonly timeoutMs?: number | undefined;
  /** Milliseconds between two looks at whether it still runs, 10 to 2147483647. Default: 5000. */
  readonly watchIntervalMs?: number | undefined;
  /** Ends the attempt. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Launches an enclave by nitro-cli. A leftover of the same name is ended first. What nitro-cli made is compared with what
 * was wanted, and ended again when it is something else: another name, another CID, debug mode that was not asked for.
 *
 * Not guaranteed: that the enclave runs the image. Its attestation document says so, and only to somebody else than its
 * parent.
 *
 * @param options Image, and what the enclave gets
 * @returns The enclave, which runs until it is terminated: disposing it does so
 * @throws {TypeError} When an option is unknown or of a wrong type
 * @throws {RangeError} When a number is out of range
 * @throws {LaunchError} When the image is not there, the memory is too little, the CID taken, or nitro-cli fails
 * @throws {TimeoutError} When nitro-cli does not end in time
 */
export async function launchEnclave(options: LaunchOptions): Promise<RunningEnclave> {
  const { nitro, request, watchIntervalMs, consoleFile, signal } = checkLaunchOptions(options);
  const memoryMib = chooseMemoryMib(await imageSize(request.eifPath), request.memoryMib);
  const wanted = { ...request, memoryMib };
  const others = await makeRoom(nitro, wanted, signal);
  let made: EnclaveDescription;
  try {
    made = await nitro.run(wanted, signal);
    checkMade(made, wanted);
    checkFlags(await findRunning(nitro, made.id, signal), wanted);
  } catch (error) {
    await endAll(nitro, wanted.name, { others, failure: error });
    throw error;
  }
  return new NitroEnclave(nitro, { ...made, name: wanted.name, isDebug: wanted.debug }, {
    watchIntervalMs,
    consoleFile,
  });
}

/**
 * Ends the enclaves of a name, if there are any.
 *
 * @param name Name of the enclave
 * @param options Name or path of nitro-cli, its milliseconds, and a signal
 * @returns Number of enclaves that were ended
 * @throws {LaunchError} When nitro-cli fails, or one of them stays
 * @throws {TimeoutError} When nitro-cli does not end in time
 */
export async function terminateEnclaves(
  name: string,
  options: Pick<LaunchOptions, "nitroCli" | "timeoutMs" | "signal"> = {},
): Promise<number> {
  const { nitro, request, signal } = checkLaunchOptions({ ...options, name, eifPath: "/" });
  const found = (await nitro.describe(signal)).filter((enclave) => enclave.name === request.name);
  for (const enclave of found) await nitro.end(enclave, signal);
  return found.length;
}

const FIELDS = [
  "eifPath",
  "name",
  "cid",
  "cpuCount",
  "memoryMib",
  "debug",
  "consoleFile",
  "nitroCli",
  "timeoutMs",
  "watchIntervalMs",
  "signal",
];

interface Wanted extends Omit<RunRequest, "memoryMib"> {
  readonly memoryMib: number | undefined;
}

function checkLaunchOptions(options: LaunchOptions) {
  const given = checkFields("launch options", options, FIELDS);
  const name = checkText("name", given.name ?? "enclave-kms", 64);
  if (!/^[A-Za-z0-9][\w.-]*$/.test(name)) throw new TypeError("name must have letters, digits and _.- only");
  const times = { min: 10, max: MAX_TIMEOUT_MS };
  const timeoutMs = checkInteger("timeoutMs", given.timeoutMs, { ...times, default: 120_000 });
  const request: Wanted = {
    name,
    // An absolute path cannot be taken for a flag.
    eifPath: resolve(checkText("eifPath", given.eifPath, 4096)),
    cid: checkInteger("cid", given.cid, { ...ENCLAVE_CIDS, default: DEFAULT_ENCLAVE_CID }),
    cpuCount: checkInteger("cpuCount", given.cpuCount, { min: 1, max: 1024, default: 2 }),
    memoryMib: given.memoryMib === undefined
      ? undefined
      : checkInteger("memoryMib", given.memoryMib, { min: 1, max: 16_777_216 }),
    debug: checkFlag("debug", given.debug),
  };
  return {
    nitro: new NitroCli(checkText("nitroCli", given.nitroCli ?? "nitro-cli", 4096), timeoutMs),
    request,
    watchIntervalMs: checkInteger("watchIntervalMs", given.watchIntervalMs, { ...times, default: 5000 }),
    consoleFile: given.consoleFile,
    signal: given.signal,
  };
}

async function imageSize(eifPath: string): Promise<number> {
  try {
    const { size } = await stat(eifPath);
    if (size > 0) return size;
  } catch (cause) {
    throw new LaunchError("Cannot launch the enclave: its image cannot be read", {
      hint: "Is EIF_PATH the path of the image, and may this user read it?",
      cause,
    });
  }
  throw new LaunchError("Cannot launch the enclave: its image is empty", { hint: "Did its build end?" });
}

/** Ends leftovers of the name, and refuses a CID that another enclave has. Returns the other enclaves. */
async function makeRoom(
  nitro: NitroCli,
  { name, cid }: Wanted,
  signal?: AbortSignal,
): Promise<readonly DescribedEnclave[]> {
  const others: DescribedEnclave[] = [];
  for (const enclave of await nitro.describe(signal)) {
    if (enclave.name === name) await nitro.end(enclave, signal);
    else others.push(enclave);
  }
  if (!others.some((enclave) => enclave.cid === cid)) return others;
  throw new LaunchError(`Cannot launch the enclave: another one has CID ${cid}`, {
    hint: "Give ENCLAVE_CID another number, or end that enclave: nitro-cli describe-enclaves names it",
  });
}

/** Ends what a launch that failed may have left, if that can be done; the failure is reported in any case. */
async function endAll(
  nitro: NitroCli,
  name: string,
  { others, failure }: { readonly others: readonly DescribedEnclave[]; readonly failure: unknown },
): Promise<void> {
  const left = new RegExp(`^${name.replaceAll(".", "\\.")}(?:_\\d+)?$`);
  try {
    const found = (await nitro.describe()).filter((enclave) =>
      left.test(enclave.name ?? "") && !others.some(({ id }) => id === enclave.id)
    );
    for (const enclave of found) await nitro.end(enclave);
  } catch (error) {
    // The next launch ends it, as a leftover.
    if (!(error instanceof EnclaveKmsError)) throw new AggregateError([failure, error]);
  }
}

/** nitro-cli gives another name when the wanted one is taken. */
function checkMade(made: EnclaveDescription, wanted: Wanted): void {
  const { name, cid } = made;
  if (name !== undefined && name !== wanted.name) {
    throw wrongEnclave(
      `its name is ${name}, and not ${wanted.name}`,
      "Does another process launch it as well?",
    );
  }
  if (cid !== wanted.cid) {
    throw wrongEnclave(
      `its CID is ${cid}, and not ${wanted.cid}`,
      "Is it nitro-cli, and nothing in its place?",
    );
  }
}

async function findRunning(nitro: NitroCli, id: string, signal?: AbortSignal): Promise<DescribedEnclave> {
  const found = await nitro.find(id, signal);
  if (found?.state === "RUNNING") return found;
  throw wrongEnclave(
    found === undefined ? "it has ended already" : `its state is ${found.state}`,
    "Does the image boot? Run it once in debug mode, and read its console",
  );
}

function checkFlags({ isDebug, cid }: DescribedEnclave, wanted: Wanted): void {
  if (cid !== wanted.cid) {
    throw wrongEnclave(`its CID is ${cid}`, "Is it nitro-cli, and nothing in its place?");
  }
  if (isDebug === wanted.debug) return;
  throw isDebug
    ? wrongEnclave(
      "it runs in debug mode, which nobody asked for",
      "Its console is readable, its PCRs are zero, and no key policy should let it in. Does a wrapper add --debug-mode?",
    )
    : wrongEnclave("it does not run in debug mode", "Does a wrapper of nitro-cli drop --debug-mode?");
}

function wrongEnclave(reason: string, hint: string): LaunchError {
  return new LaunchError(`Cannot launch the enclave: ${reason}`, { hint });
}
