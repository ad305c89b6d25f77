import { type AttestationCheck, AttestationError, type EnclaveKmsError } from "../lib/core/errors.ts";

/** Commands that exit as kmstool_enclave_cli does. kmstool-instance has one code for everything. */
export const KMSTOOL_COMMANDS: readonly string[] = ["decrypt", "genkey", "genrandom"];

/** Exit codes. They are part of the interface and do not change. */
export const EXIT = {
  /** Success. */
  ok: 0,
  /** Mistake of the user: flags, values, files that cannot be read. kmstool uses the same code. */
  usage: 1,
  /** Refusal by `image verify`, `image diff` or `key-policy gate`. */
  refused: 1,
  /** Enclave that is not in the state of `parent --check`. */
  notRunning: 1,
  /** Failure: KMS refused, the NSM is missing, a policy does not load, `parent --check` has no answer. */
  failed: 2,
  /** Denial by the policy of `policy try`. */
  denied: 3,
  /** Broken link found by `doctor`. */
  broken: 4,
  /** Defect of this program: an error that was not caught. EX_SOFTWARE of sysexits.h. */
  defect: 70,
  /** Success whose output could not be written in full. EX_IOERR of sysexits.h. */
  outputLost: 74,
  /** Failure of `decrypt`, `genkey` or `genrandom`: kmstool_enclave_cli returns -1. */
  kmstoolFailed: 255,
} as const;

/** Exit codes of `verify` and `attest`, by the check that failed. */
export const ATTESTATION_EXIT: Readonly<Record<AttestationCheck, number>> = {
  UNAVAILABLE: 10,
  REFUSED: 11,
  ANSWER: 12,
  TOO_LARGE: 13,
  CBOR: 14,
  DUPLICATE_KEY: 15,
  NOT_CANONICAL: 16,
  TOO_DEEP: 17,
  COSE: 18,
  ALGORITHM: 19,
  FIELD_MISSING: 20,
  FIELD: 21,
  CERTIFICATE: 22,
  ROOT: 23,
  CRITICAL_EXTENSION: 24,
  CHAIN: 25,
  BASIC_CONSTRAINTS: 26,
  PATH_LENGTH: 27,
  KEY_USAGE: 28,
  CERTIFICATE_SIGNATURE: 29,
  NOT_YET_VALID: 30,
  EXPIRED: 31,
  SIGNATURE: 32,
  FUTURE: 33,
  STALE: 34,
  DEBUG: 35,
  NONCE: 36,
  USER_DATA: 37,
  PUBLIC_KEY: 38,
  PCR: 39,
  BUSY: 40,
  BOOT: 41,
  PURPOSE: 42,
  DATA: 43,
};

/**
 * Finds the exit code of an attestation check.
 *
 * @param code Error code, such as `ERR_ATTESTATION_PCR`
 */
export function attestationExit(code: string): number {
  const check = code.replace(/^ERR_ATTESTATION_/, "");
  return (ATTESTATION_EXIT as Readonly<Record<string, number>>)[check] ?? EXIT.failed;
}

/**
 * Finds the exit code of `verify`.
 *
 * @param failure Check that failed; undefined when all passed
 */
export function exitOfVerdict(failure: EnclaveKmsError | undefined): number {
  if (failure === undefined) return EXIT.ok;
  return failure instanceof AttestationError ? attestationExit(failure.code) : EXIT.failed;
}

/** Makes the table for `help exit-codes`: several codes to a line of at most 78 columns. */
export function describeAttestationExits(): readonly string[] {
  const lines: string[] = [];
  for (const [check, code] of Object.entries(ATTESTATION_EXIT)) {
    const entry = `${code} ${check}`;
    const last = lines.at(-1);
    if (last !== undefined && last.length + entry.length + 2 <= 78) {
      lines[lines.length - 1] = `${last}, ${entry}`;
    } else lines.push(entry);
  }
  return lines.map((line) => `  ${line}`);
}
