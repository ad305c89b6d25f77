import type { AttestationDocument } from "../../lib/attestation/document.ts";
import { encodeHex } from "../../lib/core/encoding.ts";
import type { EnclaveKmsError } from "../../lib/core/errors.ts";
import type { Expectations, Verdict } from "./check_evidence.ts";

/**
 * Makes a summary to be copied: lines of a name and a value, printable ASCII, without colours on any terminal.
 *
 * @param verdict Outcome of the checks
 * @param expected Expectations that were checked
 * @param checkedAt Time of the check, milliseconds since 1970
 */
export function summarize(verdict: Verdict, expected: Expectations, checkedAt: number): string {
  const { failure, document, readAs, bootId, tls } = verdict;
  const rows: readonly (readonly [string, string | undefined])[] = [
    ["attestation", verdictOf(failure)],
    ["checked", new Date(checkedAt).toISOString()],
    ["expected", describeExpectations(expected)],
    ["read as", readAs],
    ["tls", tls],
    ["boot", bootId],
    ...(document === undefined ? [] : documentRows(document)),
  ];
  return rows.flatMap(([name, value]) => value === undefined ? [] : [`${name}: ${value}\n`]).join("");
}

/** Says in a word which check failed, if one did. */
export function verdictOf(failure: EnclaveKmsError | undefined): string {
  if (failure === undefined) return "verified";
  return `NOT verified: ${failure.code.replace("ERR_ATTESTATION_", "")}`;
}

/** Lists what was expected of a document beside its signatures, and says when any enclave would pass. */
export function describeExpectations({ pcrs, ...expected }: Expectations): string {
  const names = [
    ...Object.keys(pcrs ?? {}).map((index) => `PCR${index}`),
    ...(expected.nonce === undefined ? [] : ["nonce"]),
    ...(expected.userData === undefined ? [] : ["user data"]),
    ...(expected.maxAgeMs === undefined ? [] : ["age"]),
    ...(expected.root === undefined ? [] : ["another root than AWS's"]),
  ];
  if (pcrs === undefined) names.push("no PCR, so that any enclave of anyone passes");
  return names.join(", ");
}

/**
 * Shortens and cleans a text that the document's author chose.
 *
 * @param text Any
 */
export function printable(text: string): string {
  return text.slice(0, 128).replaceAll(/[^\x20-\x7e]/g, "?");
}

/**
 * Tells whether a document is of debug mode, in which PCR0 to PCR2 are zero.
 *
 * @param document Any document
 */
export function isDebug({ pcrs }: AttestationDocument): boolean {
  return [0, 1, 2].every((index) => pcrs.get(index)?.every((byte) => byte === 0) ?? true);
}

function documentRows(document: AttestationDocument): readonly (readonly [string, string])[] {
  const { moduleId, timestamp, pcrs, nonce, userData, publicKey } = document;
  return [
    ["module", printable(moduleId)],
    ["made", new Date(timestamp).toISOString()],
    ["debug mode", isDebug(document) ? "YES: its memory can be read" : "no"],
    ...[...pcrs].filter(([, value]) => value.some((byte) => byte !== 0))
      .map(([index, value]) => [`pcr${index}`, encodeHex(value)] as const),
    ["nonce", hexOrNone(nonce)],
    ["user data", hexOrNone(userData)],
    ["public key", publicKey === undefined ? "none" : `${publicKey.length} bytes`],
  ];
}

function hexOrNone(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return "none";
  return bytes.length === 0 ? "empty" : encodeHex(bytes);
}
