/**
 * Attestation, seen from outside an enclave: callers, parents and browsers verify its documents, and seal secrets to
 * it. Everything here is TypeScript over WebCrypto: no C library, and no module of Node.js.
 *
 * The room imports lib/core alone, and only files of it that run in browsers. Begin with verify.ts, which calls
 * document.ts (CBOR and COSE), certificate.ts over der.ts, and chain.ts; session_key.ts and boot_attestation.ts stand on
 * them.
 *
 * In an enclave, `NsmClient` of "enclave-kms/nsm" asks for the documents.
 *
 * @module
 */
export {
  type BootAttestation,
  type BootAttestationAnswer,
  type BootAttestationOptions,
  readBootAttestation,
} from "./boot_attestation.ts";
export { digestBootKeys, MAX_BOOT_KEY_BYTES, MAX_BOOT_KEYS } from "./boot_key_digest.ts";
export {
  type AttestationDocument,
  decodeAttestationDocument,
  MAX_ATTESTATION_DOCUMENT_BYTES,
} from "./document.ts";
export {
  type VerifiedSignature,
  verifyEnclaveSignature,
  type VerifySignatureOptions,
} from "./enclave_signature.ts";
export {
  type EnclaveStatement,
  MAX_ENCLAVE_SIGNATURE_BYTES,
  MAX_PURPOSE_LENGTH,
} from "./signature_message.ts";
export {
  type Attester,
  MAX_SEAL_CONTEXT_BYTES,
  MAX_SEALED_SECRET_BYTES,
  SEAL_OVERHEAD_BYTES,
  type SealContext,
  type SealOptions,
  sealTo,
  SessionKey,
  type SessionKeyOptions,
} from "./session_key.ts";
export {
  AWS_NITRO_ROOT_SHA256,
  CLOCK_TOLERANCE_MS,
  type PcrsByIndex,
  type PcrValue,
  verifyAttestation,
  type VerifyAttestationOptions,
} from "./verify.ts";
export {
  type AttestationCheck,
  AttestationError,
  type AttestationErrorDetails,
  DisposedError,
  EnclaveKmsError,
  type ErrorCode,
  type ErrorDetails,
  type NsmErrorCode,
  ProtocolError,
} from "../core/errors.ts";
export { SecretBytes } from "../core/secret_bytes.ts";
