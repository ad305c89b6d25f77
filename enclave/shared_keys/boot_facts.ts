import { decodeAttestationDocument } from "../../lib/attestation/document.ts";
import { toHex } from "../../lib/core/bytes.ts";
import type { KmsService } from "../kms_service.ts";

const NONCE_BYTES = 16;

/** Facts that the NSM states, which the parent does not set. */
export interface BootFacts {
  /** PCR0 of this image, 96 hex digits. */
  readonly image: string;
  /** Reads the time, milliseconds since 1970: that of the NSM, and what has passed since then. */
  readonly now: () => number;
}

/**
 * Asks the NSM for the image and the time. The clock of the enclave counts for nothing: a parent that set it back
 * before a start would have old keys opened and old requests served.
 *
 * @param kms `enclave.kms`
 * @throws The errors of `KmsService.generateAttestation`
 */
export async function readBoot(kms: Pick<KmsService, "generateAttestation">): Promise<BootFacts> {
  const document = await kms.generateAttestation({
    nonce: crypto.getRandomValues(new Uint8Array(NONCE_BYTES)),
  });
  const atMs = performance.now();
  const { pcrs, timestamp } = decodeAttestationDocument(document);
  return { image: toHex(pcrs.get(0)!), now: () => timestamp + performance.now() - atMs };
}
