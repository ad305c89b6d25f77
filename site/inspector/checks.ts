import { type AttestationDocument, decodeAttestationDocument } from "../../lib/attestation/document.ts";
import { verifyAttestation, type VerifyAttestationOptions } from "../../lib/attestation/verify.ts";
import { AttestationError, type EnclaveKmsError } from "../../lib/core/errors.ts";

/** Outcome of one check. */
export type CheckOutcome = "passed" | "failed" | "not decided" | "not reached" | "not asked";

/** Check of the verifier, and its outcome. */
export interface CheckRow {
  /** Its name, as in `ERR_ATTESTATION_…`. */
  readonly check: string;
  /** Property that the check asks for. */
  readonly about: string;
  readonly outcome: CheckOutcome;
}

/** Verdict of the verifier on a document. */
export interface DocumentVerdict {
  /** The document, verified or not; undefined when it cannot be read. */
  readonly document: AttestationDocument | undefined;
  /** Check that failed, the error's text and hint; undefined when none did. */
  readonly failure: { readonly check: string; readonly text: string; readonly hint: string } | undefined;
  readonly checks: readonly CheckRow[];
}

/** Expectations. Without `at`, certificates are checked at the document's own time. */
export type DocumentExpectations = Pick<VerifyAttestationOptions, "at" | "root" | "userData" | "pcrs">;

/** Checks of the form, which one pass over the bytes decides. */
const FORM: readonly (readonly [string, string])[] = [
  ["TOO_LARGE", "it has at most 16 KiB"],
  ["CBOR", "it is one item of well-formed CBOR, complete and with nothing after it"],
  ["DUPLICATE_KEY", "no map has the same key twice"],
  ["NOT_CANONICAL", "lengths and numbers are in their shortest form"],
  ["TOO_DEEP", "it is nested no deeper than documents are"],
  ["COSE", "it is an untagged COSE_Sign1"],
  ["ALGORITHM", "it is signed by ES384"],
  ["FIELD_MISSING", "it has all fields"],
  ["FIELD", "each field has the right type, length and value"],
];

/** Checks after it, in the verifier's order. */
const CONTENT: readonly (readonly [string, string])[] = [
  ["CERTIFICATE", "its certificates are strict DER, of P-384 keys"],
  ["ROOT", "its chain starts at the trusted root"],
  ["CRITICAL_EXTENSION", "no certificate has a critical extension that is not known"],
  ["CHAIN", "each certificate stands below its issuer"],
  ["BASIC_CONSTRAINTS", "issuers are authorities, and the signer is none"],
  ["PATH_LENGTH", "no more certificates stand below one than it allows"],
  ["KEY_USAGE", "keys are used for what their certificates allow"],
  ["NOT_YET_VALID", "every certificate was valid already"],
  ["EXPIRED", "no certificate had expired"],
  ["SIGNATURE", "it was signed, as it is, with the key of its certificate"],
  ["CERTIFICATE_SIGNATURE", "each certificate was signed by the one above it"],
  ["FUTURE", "it is not from after the time of checking"],
  ["STALE", "it is not older than expected"],
  ["DEBUG", "the enclave is not in debug mode"],
  ["NONCE", "it has the expected nonce"],
  ["USER_DATA", "it has the expected user data: the keys beside it"],
  ["PUBLIC_KEY", "it has the expected public key"],
  ["PCR", "its PCRs are those of the image or PCR file"],
];

/** Checks of the verifier by name, in its order. */
export const CHECK_NAMES: readonly string[] = [...FORM, ...CONTENT].map(([name]) => name);

/**
 * Verifies a document, and lists the verifier's checks with their outcomes. The verifier stops at the first failure: the
 * checks before it passed, and those after it were not reached. The checks of the form are decided in one pass, so that a
 * failure of one leaves the others open.
 *
 * @param bytes The document
 * @param expected Root, time, user data and PCRs
 * @throws {TypeError} When an expectation is malformed
 */
export async function checkDocument(
  bytes: Uint8Array<ArrayBuffer>,
  expected: DocumentExpectations,
): Promise<DocumentVerdict> {
  let document: AttestationDocument | undefined;
  try {
    document = decodeAttestationDocument(bytes);
    await verifyAttestation(bytes, { ...expected, at: expected.at ?? document.timestamp });
    return { document, failure: undefined, checks: rowsOf(undefined, expected) };
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
    const failure = failureOf(error);
    return { document, failure, checks: rowsOf(failure.check, expected) };
  }
}

/** Takes an error apart. */
export function failureOf(error: EnclaveKmsError): NonNullable<DocumentVerdict["failure"]> {
  return {
    check: error.code.replace("ERR_ATTESTATION_", ""),
    text: error.message,
    hint: error.hint ?? "",
  };
}

function rowsOf(failed: string | undefined, expected: DocumentExpectations): CheckRow[] {
  const asked = (check: string) =>
    !["STALE", "NONCE", "PUBLIC_KEY"].includes(check) &&
    (check !== "USER_DATA" || expected.userData !== undefined) &&
    (check !== "PCR" || expected.pcrs !== undefined);
  const place = failed === undefined ? CHECK_NAMES.length : CHECK_NAMES.indexOf(failed);
  const isForm = place < FORM.length;
  return [...FORM, ...CONTENT].map(([check, about], index) => {
    const outcome = (): CheckOutcome => {
      if (index === place) return "failed";
      if (!asked(check)) return "not asked";
      if (isForm && index < FORM.length) return index === 0 ? "passed" : "not decided";
      return index < place ? "passed" : "not reached";
    };
    return { check, about, outcome: outcome() };
  });
}
