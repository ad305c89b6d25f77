import type { Deadline } from "../deadline.ts";
import type { SecretBytes } from "../secret_bytes.ts";

/** The engines by name. */
export type EngineName = "direct" | "sdk" | "sdk-client";

/** How KMS encrypted the ciphertext. */
export type EncryptionAlgorithm = "SYMMETRIC_DEFAULT" | "RSAES_OAEP_SHA_1" | "RSAES_OAEP_SHA_256";

/** A Decrypt request after every check: nothing in it can be wrong in form. */
export interface CheckedDecryptRequest {
  /** 1 to 6144 bytes. */
  readonly ciphertext: Uint8Array<ArrayBuffer>;
  /** Key id, key ARN, alias name or alias ARN. */
  readonly keyId: string | undefined;
  /** Set whenever `keyId` is. */
  readonly encryptionAlgorithm: EncryptionAlgorithm | undefined;
  /** Well-formed strings only. */
  readonly encryptionContext: Readonly<Record<string, string>> | undefined;
}

/** One way to have KMS decrypt for this enclave. */
export interface KmsEngine extends AsyncDisposable {
  /** Which of the three it is. */
  readonly name: EngineName;

  /**
   * @param request What to decrypt
   * @param deadline When to give up
   * @returns The plaintext; the caller disposes it
   */
  decrypt(request: CheckedDecryptRequest, deadline: Deadline): Promise<SecretBytes>;
}
