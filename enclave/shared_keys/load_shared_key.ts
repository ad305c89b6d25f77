import { Deadline } from "../../lib/core/deadline.ts";
import { disposeAll } from "../../lib/core/dispose_all.ts";
import { EnclaveKmsError, KmsError, SharedKeyError } from "../../lib/core/errors.ts";
import { Pauses } from "../../lib/core/pauses.ts";
import { checkPinned, findNewest } from "./find_newest.ts";
import { KeyRecords, type SharedKeyKms } from "./key_records.ts";
import type { LoadedVersion } from "./key_version.ts";
import { SharedKey } from "./shared_key.ts";
import {
  type CheckedSharedKeyOptions,
  checkSharedKeyOptions,
  type SharedKeyOptions,
} from "./shared_key_options.ts";

/** Failures after which the start tries again. */
const TRANSIENT: readonly string[] = [
  ...["ERR_SHARED_KEY_STORE", "ERR_CREDENTIALS", "ERR_CONNECTION", "ERR_TIMEOUT", "ERR_OVERLOADED"],
  ...["ERR_ATTESTATION_BUSY", "ERR_ATTESTATION_UNAVAILABLE"],
];
const PAUSES = { firstMs: 100, maxMs: 2000 };

/**
 * Loads a key that several enclaves share, or has KMS make it: the first enclave makes the key, and puts its ciphertext
 * into the store unless there is one; the others decrypt the same. KMS gives it to those enclaves alone whose
 * measurements the key policy of `keyId` names, and binds it to the name, the version, the image that made it, and
 * the record before it.
 *
 * It waits, within `startTimeoutMs`, for credentials and for the store. Afterwards it looks for new versions, makes them
 * when `rotateMs` is over, and wipes old ones, until it is disposed.
 *
 * Not guaranteed: that the store shows the newest version. One that hides it from an enclave that starts, or shows two
 * enclaves two histories, is not noticed unless `minVersion` or `pin` tells; docs/fleets.md says what that means. Nor
 * that no one else has the key, if the key policy lets anybody use the KMS key without attestation.
 *
 * @param kms `enclave.kms`
 * @param options Name, KMS key and store; the rest has defaults
 * @returns The key; dispose it with `using`
 * @throws {SharedKeyError} When the store has something else than this key, or fails until the time is up
 * @throws {KmsError} When KMS refuses
 * @throws {CredentialsError} When the parent has sent none until the time is up
 * @throws {TypeError} When an option is unknown, missing or of a wrong type
 * @throws {RangeError} When an option is out of range
 * @example
 * ```ts
 * import { mkdtempSync } from "node:fs";
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { enclaveApp, fileKeyStore, sharedKey, startEnclave } from "enclave-kms/enclave";
 * import { SimulatedEnvironment, startSimulator } from "enclave-kms/sim";
 *
 * await using simulator = await startSimulator(); // in an enclave: no simulator, and no environment
 * const { keyId } = await simulator.createKey();
 * await using simulated = await SimulatedEnvironment.create(simulator);
 * const environment = { ...simulated.variables, ENCLAVE_PORT: "0", ENCLAVE_KMS_LOG_LEVEL: "silent" };
 * await using enclave = await startEnclave(enclaveApp(), { name: "hello", environment });
 * await simulated.pushCredentials(simulator.credentials);
 *
 * const store = fileKeyStore(mkdtempSync(join(tmpdir(), "keys-"))); // in an enclave: s3KeyStore()
 * using key = await sharedKey(enclave.kms, { name: "hello", keyId, store });
 * key.current.version; // 1
 * await enclave.sealWith(key, { anyEnclave: true }); // sealed requests may go to any enclave with the key
 * ```
 */
export async function sharedKey(kms: SharedKeyKms, options: SharedKeyOptions): Promise<SharedKey> {
  const checked = checkSharedKeyOptions(options);
  const ended = new AbortController();
  using deadline = new Deadline("load the shared key", checked.startTimeoutMs);
  const stop = () => ended.abort(deadline.signal.reason);
  deadline.signal.addEventListener("abort", stop);
  const records = new KeyRecords(kms, checked, ended.signal);
  try {
    const versions = await tryAgain(deadline, () => load(records, checked));
    return new SharedKey(records, checked, versions, ended);
  } finally {
    deadline.signal.removeEventListener("abort", stop);
  }
}

/** Loads the newest version and those before it that still open, or has the first one made. */
async function load(records: KeyRecords, options: CheckedSharedKeyOptions): Promise<LoadedVersion[]> {
  const { minVersion, mayMake, pin, settleMs, overlapMs } = options;
  const newest = await findNewest(records, minVersion);
  if (newest === undefined) {
    if (!mayMake) throw tooOld(options);
    return [await records.make(1, undefined)];
  }
  const versions = [await records.open(newest)];
  try {
    if (pin !== undefined) await checkPinned(records, newest, pin);
    for (let last = versions[0]!; last.version > minVersion && last.ageMs < settleMs + overlapMs;) {
      const before = await records.read(last.version - 1);
      if (before === undefined) break;
      records.checkFollows(last.record, before);
      versions.push(last = await records.open(before));
    }
    return versions;
  } catch (error) {
    disposeAll(versions);
    throw error;
  }
}

async function tryAgain<T>(deadline: Deadline, work: () => Promise<T>): Promise<T> {
  const pauses = new Pauses(PAUSES);
  let failure: unknown;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      // The last failure says more than that the time is up.
      if (deadline.signal.aborted) throw failure ?? error;
      if (!isTransient(error)) throw error;
      failure = error;
      pauses.begin();
      if (deadline.remainingMs <= pauses.remainingMs) throw error;
      await deadline.sleep(pauses.remainingMs);
    }
  }
}

function isTransient(error: unknown): boolean {
  if (error instanceof KmsError) return error.retryable || error.credentialsRefused;
  return error instanceof EnclaveKmsError && TRANSIENT.includes(error.code);
}

function tooOld({ name, minVersion }: CheckedSharedKeyOptions): SharedKeyError {
  return new SharedKeyError("VERSION", `Cannot take shared key ${name}: there is no version ${minVersion}`, {
    hint: "Does the store show an older state than it should, or is it another environment's?",
  });
}
