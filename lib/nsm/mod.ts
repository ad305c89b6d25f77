/**
 * Nitro Secure Module of this enclave: attestation documents, random bytes, platform configuration registers, and
 * entropy for the kernel.
 *
 * {@link NsmClient} asks `/dev/nsm`, or the software module of "enclave-kms/sim", and reads every answer strictly.
 * The room imports lib/native and lib/core. Begin with nsm_client.ts; nsm_queue.ts orders the questions of all
 * NsmClients (a KmsClient has a queue of its own), and nsm_answer.ts reads what the module says. Documents are verified by "enclave-kms/attestation".
 *
 * @example
 * ```ts
 * import { verifyAttestation } from "enclave-kms/attestation";
 * import { NsmClient } from "enclave-kms/nsm";
 * import { SoftwareNsm } from "enclave-kms/sim";
 *
 * const software = await SoftwareNsm.create();
 * using nsm = new NsmClient(software); // in an enclave: NsmClient.open()
 * const nonce = crypto.getRandomValues(new Uint8Array(32));
 *
 * const document = await nsm.attest({ nonce });
 * (await verifyAttestation(document, { nonce, root: software.root })).digest; // "SHA384"
 * ```
 *
 * @module
 */
export {
  type AttestationRequest,
  MAX_ATTESTED_NONCE_BYTES,
  MAX_ATTESTED_PUBLIC_KEY_BYTES,
  MAX_ATTESTED_USER_DATA_BYTES,
  MAX_PCR_EXTENSION_BYTES,
  NsmClient,
  type NsmDescription,
  PCR_COUNT,
  type PcrDescription,
} from "./nsm_client.ts";
export type { AttestationOptions } from "./nsm_queue.ts";
export type { NsmTransport } from "./nsm_transport.ts";
export {
  type KernelEntropy,
  type KernelEntropyOutcome,
  type RandomSource,
  seedKernelEntropy,
  type SeedKernelEntropyOptions,
} from "./seed_kernel_entropy.ts";
export type { CallOptions } from "../core/call_options.ts";
export {
  type AttestationCheck,
  AttestationError,
  type AttestationErrorDetails,
  DisposedError,
  EnclaveKmsError,
  type ErrorCode,
  type ErrorDetails,
  LibraryLoadError,
  type NsmErrorCode,
  SystemCallError,
  TimeoutError,
} from "../core/errors.ts";
