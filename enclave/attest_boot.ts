import { equalBytes } from "../lib/core/bytes.ts";
import type { BootKeys } from "./boot_keys.ts";
import type { Keeper } from "./gate.ts";
import type { EnclaveService } from "./service.ts";
import type { RequestRecord } from "./telemetry/request_record.ts";

/** Parts that vouch for the keys of this boot. */
export interface BootParts {
  /** Asks KMS and the NSM. */
  readonly service: EnclaveService;
  /** Keys of this boot. */
  readonly bootKeys: BootKeys;
  /** Gate that is asked: the application's own, or `OPEN_GATE`. */
  readonly gate: Keeper;
}

/** Public keys of this boot, and the document that vouches for just those. */
export interface AttestedBoot {
  /** Attestation document, COSE_Sign1. */
  readonly document: Uint8Array;
  /** Public keys by name. */
  readonly keys: Readonly<Record<string, Uint8Array>>;
  /** Digest of the keys and the boot id, 32 bytes: the document's user data. */
  readonly digest: Uint8Array;
}

/**
 * Has the NSM make a document that vouches for the keys of this boot, if the policy says yes to `GetAttestation`. When a
 * key is replaced meanwhile, another document is asked for: it would vouch for others than those beside it.
 *
 * @param parts Service, keys and gate
 * @param nonce Nonce of at most 512 bytes, or none
 * @param record Record of the request
 * @returns Document and keys
 * @throws The errors of `EnclaveService.attest`
 */
export async function attestBoot(
  { service, bootKeys, gate }: BootParts,
  nonce: Uint8Array | undefined,
  record: RequestRecord,
): Promise<AttestedBoot> {
  for (;;) {
    const [keys, digested] = [bootKeys.publicKeys, bootKeys.digest()];
    const document = await service.attest(nonce, record, gate);
    const digest = await digested;
    if (equalBytes(digest, await bootKeys.digest())) return { document, keys, digest };
  }
}
