/**
 * The caller's half of attested TLS, for Node and Deno: connections that end inside an enclave whose attestation
 * document is as expected, whatever lies between.
 *
 * {@link attestedTlsAgent} is for `https.request` and every client that takes an agent of `node:https`,
 * {@link attestedTlsFetch} is a `fetch`. For other TLS clients, such as gRPC's, {@link fetchAttestedCertificate} gives
 * the verified certificate, which they trust as their only authority under the name {@link ENCLAVE_TLS_NAME}. The room imports lib/attestation, lib/transport, lib/wire and lib/core. Begin with
 * attested_tls.ts.
 *
 * @module
 */
export {
  AttestedTlsAgent,
  attestedTlsAgent,
  attestedTlsFetch,
  type AttestedTlsOptions,
} from "./attested_tls_agent.ts";
export {
  type AttestedCertificateOptions,
  type AttestedTlsCertificate,
  fetchAttestedCertificate,
} from "./fetch_attested_certificate.ts";
export type { BootAttestation } from "../../attestation/boot_attestation.ts";
export type { Endpoint, TcpEndpoint, UnixEndpoint, VsockEndpoint } from "../../core/endpoint.ts";
export type { Fetch } from "../../transport/create_fetch.ts";
export { ENCLAVE_TLS_NAME } from "../../wire/enclave_tls_name.ts";
export {
  AttestationError,
  CertificateError,
  ConnectionError,
  DisposedError,
  EnclaveKmsError,
  type ErrorCode,
  type ErrorDetails,
  LibraryLoadError,
  ProtocolError,
  SystemCallError,
  TimeoutError,
} from "../../core/errors.ts";
