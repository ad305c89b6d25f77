import { type AttestationCheck, AttestationError } from "../core/errors.ts";

const HINTS: Readonly<Partial<Record<AttestationCheck, string>>> = {
  ROOT: "Is it from AWS's Nitro Enclaves? A simulator's document needs its root certificate in `root`",
  CRITICAL_EXTENSION:
    "Has AWS changed its certificates? A newer version of this library may know the extension",
  CHAIN: "Are the certificates complete, the root first and each one's issuer before it?",
  BASIC_CONSTRAINTS: "Is each issuer an authority, and the document's signer none?",
  PATH_LENGTH: "Has a certificate been put between an authority and those it may issue?",
  KEY_USAGE: "Is a key used for what its certificate does not allow?",
  CERTIFICATE_SIGNATURE: "Was a certificate changed, or made by another authority of the same name?",
  NOT_YET_VALID: "Is this clock behind? `at` sets the time to verify at",
  EXPIRED: "Is this clock right? A document's certificate lives three hours: `at` sets the time to verify at",
  SIGNATURE: "Was the document changed on its way?",
  FUTURE: "Is this clock behind? `at` sets the time to verify at",
  STALE: "Is it a replay, or kept for longer than `maxAgeMs` allows? Ask the enclave for a new one",
  DEBUG: "Was the enclave started with --debug-mode? `allowDebug` accepts that, for development only",
  NONCE: "Is this the answer to another question, or a replay?",
  USER_DATA: "Did the enclave have something else signed, or nothing?",
  PUBLIC_KEY: "Is this the document of another key, or was it made for another purpose?",
  PCR: "Does the enclave run another image than the expected one? Compare with the build's measurements",
};

/**
 * Makes the error of a failed check.
 *
 * @param check The check
 * @param what The finding
 * @returns The error, with the hint of its check
 */
export function failed(check: AttestationCheck, what: string): AttestationError {
  return new AttestationError(check, `Cannot verify attestation document: ${what}`, {
    hint: HINTS[check] ?? "Is this an attestation document of a Nitro Enclave?",
  });
}
