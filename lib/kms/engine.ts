import type {
  CheckedDataKeyPairRequest,
  CheckedDataKeyRequest,
  CheckedDecryptRequest,
  CheckedEncryptRequest,
  CheckedRandomRequest,
  CheckedSharedSecretRequest,
  Encrypted,
} from "./checked_request.ts";
import type { DataKey, DataKeyPair } from "./data_key.ts";
import type { Deadline } from "../core/deadline.ts";
import type { SecretBytes } from "../core/secret_bytes.ts";

/** The engines by name. */
export type EngineName = "direct" | "sdk" | "sdk-client";

/** One way to have KMS work for this enclave. What an engine returns is the caller's to dispose. */
export interface KmsEngine extends AsyncDisposable {
  /** Which of the three it is. */
  readonly name: EngineName;
  /** See {@link KmsClient.clockOffsetMs}. */
  readonly clockOffsetMs: number;
  /** KMS's Decrypt, attested. */
  decrypt(request: CheckedDecryptRequest, deadline: Deadline): Promise<SecretBytes>;
  /** KMS's Encrypt; nothing about it is attested. */
  encrypt(request: CheckedEncryptRequest, deadline: Deadline): Promise<Encrypted>;
  /** KMS's GenerateDataKey, attested. */
  generateDataKey(request: CheckedDataKeyRequest, deadline: Deadline): Promise<DataKey>;
  /** KMS's GenerateDataKeyPair, attested. */
  generateDataKeyPair(request: CheckedDataKeyPairRequest, deadline: Deadline): Promise<DataKeyPair>;
  /** KMS's GenerateRandom, attested. */
  generateRandom(request: CheckedRandomRequest, deadline: Deadline): Promise<SecretBytes>;
  /** KMS's DeriveSharedSecret, attested. */
  deriveSharedSecret(request: CheckedSharedSecretRequest, deadline: Deadline): Promise<SecretBytes>;
}
