/**
 * The AWS SDK v3 for JavaScript inside a Nitro Enclave, unchanged: only the lines where clients are made differ.
 *
 * {@link vsockRequestHandler} takes the requests of any client through the parent's relay, with TLS that ends in the
 * enclave. {@link recipientPlugin} attests the commands of `KMSClient`, and opens KMS's answers.
 * {@link credentialsFromParent} gives clients the credentials that the parent pushes. The SDK's packages are not
 * imported; its clients 3.1162.0 were tried. The room imports enclave/ and lib/ but lib/native. Begin with
 * vsock_request_handler.ts and recipient_plugin.ts.
 *
 * Not guaranteed: that secrets are wiped. The SDK makes its own copies of what it is given; see docs/aws-sdk.md.
 *
 * @example
 * ```ts
 * import { GenerateRandomCommand, KMSClient } from "@aws-sdk/client-kms";
 * import { recipientPlugin, vsockRequestHandler } from "enclave-kms/aws";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator();
 * const { region, credentials, endpoint, trustedCertificates, nsm } = enclave.clientOptions;
 *
 * const requestHandler = vsockRequestHandler({ endpoint, trustedCertificates }); // in an enclave: { relay }
 * const kms = new KMSClient({ region, credentials, requestHandler });
 * using recipient = recipientPlugin({ nsm }); // in an enclave: no options
 * kms.middlewareStack.use(recipient);
 *
 * const { Plaintext } = await kms.send(new GenerateRandomCommand({ NumberOfBytes: 32 }));
 * Plaintext?.length; // 32
 * kms.destroy();
 * ```
 *
 * @module
 */
export { credentialsFromParent, type RunningEnclave } from "./credentials_from_parent.ts";
export { type RecipientPlugin, recipientPlugin, type RecipientPluginOptions } from "./recipient_plugin.ts";
export {
  type VsockRequestHandler,
  vsockRequestHandler,
  type VsockRequestHandlerOptions,
} from "./vsock_request_handler.ts";
export type {
  SdkCallOptions,
  SdkCredentials,
  SdkPlace,
  SdkRequest,
  SdkResponse,
  SdkStack,
} from "./sdk_types.ts";
export type { Endpoint, TcpEndpoint, UnixEndpoint, VsockEndpoint } from "../lib/core/endpoint.ts";
export type { NsmTransport } from "../lib/nsm/nsm_transport.ts";
export {
  AttestationError,
  CertificateError,
  ConnectionError,
  CredentialsError,
  DisposedError,
  EnclaveKmsError,
  type ErrorCode,
  KmsError,
  LibraryLoadError,
  OpensslError,
  ProtocolError,
  SdkGenericError,
  SdkKmsClientError,
  SystemCallError,
  TimeoutError,
  UnsupportedOperationError,
} from "../lib/core/errors.ts";
