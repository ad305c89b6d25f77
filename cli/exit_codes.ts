import type { AttestationCheck } from "../lib/core/errors.ts";

/** How a command ends; they are part of the interface and stay. */
export const EXIT = {
  /** It did what it should. */
  ok: 0,
  /** The user's mistake: flags, values, files that cannot be read. Also kmstool's. */
  usage: 1,
  /** It failed: KMS refused, the NSM is not there, a policy does not load. */
  failed: 2,
  /** `policy try`: the policy said no. */
  denied: 3,
  /** `doctor`: something that is needed is broken. */
  broken: 4,
  /** A defect of ours: something was thrown that nobody caught. EX_SOFTWARE of sysexits.h. */
  defect: 70,
  /** It did what it should, but its output could not be written, or not all of it. EX_IOERR of sysexits.h. */
  outputLost: 74,
  /** `decrypt`, `genkey` and `genrandom` failed: kmstool_enclave_cli returns -1. */
  kmstoolFailed: 255,
} as const;

/** What `verify` and `attest` end with, by the one check that failed. */
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
};

/**
 * @param code Such as `ERR_ATTESTATION_PCR`
 * @returns The exit code of that check
 */
export function attestationExit(code: string): number {
  const check = code.replace(/^ERR_ATTESTATION_/, "");
  return (ATTESTATION_EXIT as Readonly<Record<string, number>>)[check] ?? EXIT.failed;
}

/** The table for the help, several to a line of at most 78 columns. */
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
