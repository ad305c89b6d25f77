import { equalBytes } from "../../lib/core/bytes.ts";
import { SecretError } from "../../lib/core/secret_error.ts";
import type { NsmClient } from "../../lib/nsm/nsm_client.ts";
import { expectedPcr16, secretMeasurement, SECRETS_PCR } from "../../lib/wire/secret_measurement.ts";
import type { SecretStatement } from "../../lib/wire/signed_secret.ts";

/**
 * Records secrets in PCR16 and locks it, so that each document from then on tells which ones this enclave took. One
 * ExtendPCR for each, in order, then LockPCR.
 *
 * When the register is locked already, by a process that ran in this enclave before, it must have this very value.
 *
 * @param nsm The NSM; none when there is no module
 * @param taken Secrets that were taken, in the order of their declarations
 * @throws {SecretError} With the fault `RECORD`, when there is no module, it refuses, or the register has another value
 */
export async function recordSecrets(
  nsm: Pick<NsmClient, "describePcr" | "extendPcr" | "lockPcr"> | undefined,
  taken: readonly SecretStatement[],
): Promise<void> {
  if (nsm === undefined) throw notRecorded("there is no Nitro Secure Module");
  const expected = await expectedPcr16(taken);
  const before = await nsm.describePcr(SECRETS_PCR).catch(refuse);
  if (before.locked) {
    if (equalBytes(before.value, expected)) return;
    throw notRecorded(`PCR${SECRETS_PCR} was locked before, with another value`);
  }
  if (before.value.some((byte) => byte !== 0)) throw notRecorded(`PCR${SECRETS_PCR} was extended before`);
  for (const { name, version, sha256 } of taken) {
    await nsm.extendPcr(SECRETS_PCR, await secretMeasurement(name, version, sha256)).catch(refuse);
  }
  await nsm.lockPcr(SECRETS_PCR).catch(refuse);
  const after = await nsm.describePcr(SECRETS_PCR).catch(refuse);
  if (!after.locked || !equalBytes(after.value, expected)) {
    throw notRecorded(`PCR${SECRETS_PCR} has another value than it was extended to`);
  }
}

function refuse(cause: unknown): never {
  throw notRecorded("the Nitro Secure Module refused", cause);
}

function notRecorded(why: string, cause?: unknown): SecretError {
  return new SecretError("RECORD", `Cannot record secrets in PCR${SECRETS_PCR}: ${why}`, {
    hint: "Does something else in this enclave extend that register? Restart the enclave, not the process",
    cause,
  });
}
