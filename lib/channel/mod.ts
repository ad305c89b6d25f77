/**
 * The caller's half of a conversation with an enclave.
 *
 * {@link sealedFetch} makes a `fetch` for browsers, and for every way on which TLS ends before the enclave: whoever
 * carries its requests and answers reads none. {@link narrow} reads the answers of a typed client, so that `ok` tells
 * their type. Attested TLS for Node and Deno is in `enclave-kms/channel/node`.
 *
 * The room imports lib/attestation, lib/wire and lib/core, and runs in browsers; what needs Node or Deno is in `node/`,
 * which may import lib/transport as well. It imports no package. Begin with sealed_fetch.ts.
 *
 * @module
 */
export type { BootAttestation } from "../attestation/boot_attestation.ts";
export {
  AttestationError,
  ChannelError,
  ChannelRenewedError,
  ConnectionError,
  EnclaveKmsError,
  type ErrorCode,
  ProtocolError,
  TimeoutError,
} from "../core/errors.ts";
export { type SealedFetch, sealedFetch, type SealedFetchOptions } from "./sealed_fetch.ts";
export {
  type Answered,
  type AnswerProblemCode,
  type ClientProblem,
  type FieldProblem,
  narrow,
  type Narrowed,
  type NarrowOptions,
  type ReadableResponse,
  type Refused,
} from "./typed_client.ts";
