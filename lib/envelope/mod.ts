/**
 * Files and streams of any length, encrypted under a data key from KMS in the AWS Encryption SDK's message format.
 *
 * {@link encryptStream} and {@link decryptStream} are TransformStreams; {@link encryptFile} and {@link decryptFile}
 * take paths; {@link encryptMessage} and {@link decryptMessage} take short messages at once. The room imports
 * lib/kms/operations, lib/native and lib/core, and gets a `KmsClient` as an argument. Begin with encrypt_stream.ts;
 * message_header.ts and frames.ts describe the format.
 *
 * @example
 * ```ts
 * import { KmsClient } from "enclave-kms";
 * import { decryptStream, encryptStream } from "enclave-kms/envelope";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
 * const { arn: keyId } = await enclave.createKey();
 * await using client = await KmsClient.open(enclave.clientOptions);
 *
 * const encrypted = new Blob(["attack at dawn"]).stream().pipeThrough(encryptStream(client, { keyId }));
 * const decrypted = encrypted.pipeThrough(decryptStream(client, { keyId }));
 * await new Response(decrypted).text(); // "attack at dawn"
 * ```
 *
 * @module
 */
export type { KeyFilter } from "./allowed_keys.ts";
export { DataKeyCache, type DataKeyCacheOptions } from "./data_key_cache.ts";
export { decryptMessage, type DecryptMessageOptions } from "./decrypt_message.ts";
export { decryptStream, type DecryptStreamOptions } from "./decrypt_stream.ts";
export { decryptFile, encryptFile, type FilePaths } from "./encrypt_file.ts";
export { encryptMessage, type EncryptMessageOptions } from "./encrypt_message.ts";
export { encryptStream, type EncryptStreamOptions } from "./encrypt_stream.ts";
export type { EncryptionContext } from "./encryption_context.ts";
export { EnvelopeError, type EnvelopeFault } from "./envelope_error.ts";
export type { DataKeyOpener, DataKeyRequest, DataKeySource, SourcedDataKey } from "./key_client.ts";
export type { DecryptOptions, SignaturePolicy } from "./decrypt_options.ts";
export type { EnvelopeStream } from "./pull_stream.ts";
export type { EncryptOptions } from "./start_message.ts";
export type { CallOptions } from "../core/call_options.ts";
export {
  DisposedError,
  EnclaveKmsError,
  type ErrorCode,
  type ErrorDetails,
  KmsError,
  LibraryLoadError,
  OpensslError,
  SystemCallError,
  TimeoutError,
} from "../core/errors.ts";
export type { SecretBytes } from "../core/secret_bytes.ts";
