import type { BootAttestation, ParsedBootAnswer } from "../../lib/attestation/boot_attestation.ts";
import { digestBootKeys } from "../../lib/attestation/boot_key_digest.ts";
import { type AttestationDocument, decodeAttestationDocument } from "../../lib/attestation/document.ts";
import { verifyAttestation, type VerifyAttestationOptions } from "../../lib/attestation/verify.ts";
import { Deadline } from "../../lib/core/deadline.ts";
import { AttestationError, EnclaveKmsError } from "../../lib/core/errors.ts";
import { askEnclave, checkChannel, type EnclaveAddress } from "./ask_enclave.ts";
import type { DocumentInput } from "./document_input.ts";

/** Expectations of the flags. */
export type Expectations = Omit<VerifyAttestationOptions, "at"> & {
  /** Time to verify at, or that of the document itself. */
  readonly at?: number | "document" | undefined;
};

/** Outcome of checking a document. */
export interface Verdict {
  /** Check that failed; undefined when all passed. */
  readonly failure: EnclaveKmsError | undefined;
  /** The document, where it could be decoded, verified or not. */
  readonly document: AttestationDocument | undefined;
  /** Form that it was read from. */
  readonly readAs: string;
  /** Boot id of the answer that it came in. The document vouches for it when nothing failed. */
  readonly bootId?: string | undefined;
  /** Finding about TLS, of an enclave that was asked. */
  readonly tls?: string | undefined;
}

const NONCE_BYTES = 32;

/**
 * Verifies a document that was read, and that it vouches for the keys beside it when it came in a server's answer.
 *
 * @param input Document as it was given
 * @param expected Expectations
 */
export async function checkDocument(input: DocumentInput, expected: Expectations): Promise<Verdict> {
  const { document, readAs, boot } = input;
  const read = { document: readable(document), readAs, bootId: boot?.bootId };
  try {
    const { at, ...rest } = expected;
    const moment = at === "document" ? decodeAttestationDocument(document).timestamp : at;
    await verifyAttestation(document, { ...rest, ...await userDataOf(boot), at: moment });
    return { ...read, failure: undefined };
  } catch (error) {
    if (error instanceof AttestationError) return { ...read, failure: error };
    throw error;
  }
}

/**
 * Asks an enclave with a fresh nonce, verifies its answer, and where TLS ends.
 *
 * @param address Way to the enclave
 * @param expected Expectations; the nonce is made here
 * @param timeoutMs Milliseconds for everything
 */
export async function checkEnclave(
  address: EnclaveAddress,
  expected: Expectations,
  timeoutMs: number,
): Promise<Verdict> {
  using deadline = new Deadline("verify the enclave", timeoutMs, undefined, "enclave");
  const readAs = "answer of an enclave";
  let verdict: Verdict = { failure: undefined, document: undefined, readAs };
  try {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const boot = await askEnclave(address, nonce, deadline);
    verdict = await checkDocument({ document: boot.document, readAs, boot }, { ...expected, nonce });
    if (verdict.failure !== undefined || verdict.document === undefined) return verdict;
    const attested: BootAttestation = { ...boot, document: verdict.document };
    return { ...verdict, tls: await checkChannel(address, attested, deadline) };
  } catch (error) {
    if (error instanceof EnclaveKmsError) return { ...verdict, failure: error };
    throw error;
  }
}

async function userDataOf(boot: ParsedBootAnswer | undefined): Promise<{ readonly userData?: Uint8Array }> {
  return boot === undefined ? {} : { userData: await digestBootKeys(boot.bootId, boot.keys) };
}

/** Decodes a document to print it, even when it failed a check. */
function readable(content: Uint8Array): AttestationDocument | undefined {
  try {
    return decodeAttestationDocument(content);
  } catch {
    return undefined;
  }
}
