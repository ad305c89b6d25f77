import { rawSignature } from "../lib/attestation/certificate.ts";
import {
  type EnclaveStatement,
  makeEnclaveSignature,
  UNATTESTED_CONTENT_TYPE,
} from "../lib/attestation/signature_message.ts";
import { ProtocolError, UnsupportedOperationError } from "../lib/core/errors.ts";

/**
 * Makes a signature by a key of KMS, of the form of an enclave's own but for its content type. Nothing about it is
 * attested: whoever holds the role can make the same without the enclave.
 *
 * @param statement Purpose, time and boot id
 * @param data Data to state it about
 * @param sign Has KMS sign a message by `ECDSA_SHA_256`: DER
 * @returns COSE_Sign1
 * @throws {ProtocolError} When KMS gives no signature of a key on P-256
 */
export function makeUnattestedSignature(
  statement: EnclaveStatement,
  data: Uint8Array,
  sign: (message: Uint8Array) => Promise<Uint8Array<ArrayBuffer>>,
): Promise<Uint8Array<ArrayBuffer>> {
  return makeEnclaveSignature(statement, data, {
    algorithm: "ES256",
    contentType: UNATTESTED_CONTENT_TYPE,
    sign: async (message) => rawP256(await sign(message)),
  });
}

/** Makes the error of signing with a key of KMS that the application did not name. */
export function noKmsKey(): UnsupportedOperationError {
  return new UnsupportedOperationError("Cannot sign with a key of KMS: the application names none", {
    hint: "unattestedKmsKey at startEnclave() names one, which the parent can sign with as well",
  });
}

const P256_BYTES = 32;

function rawP256(der: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  try {
    return rawSignature(der, P256_BYTES);
  } catch {
    throw new ProtocolError("Cannot sign: KMS gave no signature of a key on P-256", {
      hint: "Is unattestedKmsKey a key for signatures with the spec ECC_NIST_P256?",
    });
  }
}
