import type { CallOptions } from "../core/call_options.ts";
import type { SecretBytes } from "../core/secret_bytes.ts";
import type { EncryptionContext } from "./encryption_context.ts";
import { EnvelopeError } from "./envelope_error.ts";

/** Request for a data key of 32 bytes under a KMS key. */
export interface DataKeyRequest extends CallOptions {
  /** Key of KMS. */
  readonly keyId: string;
  /** Kind of the data key. */
  readonly keySpec: "AES_256";
  /** Pairs that KMS binds the data key to. */
  readonly encryptionContext?: EncryptionContext | undefined;
}

/** Data key and its ciphertext. Disposing it wipes the data key. */
export interface SourcedDataKey extends Disposable {
  /** Data key, 32 bytes. */
  readonly plaintext: SecretBytes;
  /** The same, encrypted by KMS. */
  readonly ciphertext: Uint8Array<ArrayBuffer>;
  /** ARN of the key that it is encrypted under. */
  readonly keyId: string;
}

/** Part of a {@link KmsClient} that encryption needs. */
export interface DataKeySource {
  /** Makes a data key for a message of any length. */
  generateDataKey(request: DataKeyRequest): Promise<SourcedDataKey>;
  /** Gives a data key for a message whose length is known, if the source uses data keys again. */
  generateDataKeyFor?(plaintextBytes: number, request: DataKeyRequest): Promise<SourcedDataKey>;
}

/** Part of a {@link KmsClient} that decryption needs. */
export interface DataKeyOpener {
  /** Decrypts a data key. */
  decrypt(
    request: CallOptions & {
      readonly ciphertext: Uint8Array;
      readonly keyId: string;
      readonly encryptionContext?: EncryptionContext | undefined;
    },
  ): Promise<SecretBytes>;
}

/**
 * Checks that a client has a method.
 *
 * @param client Client that the caller gave
 * @param method Name of the method
 * @throws {TypeError} When it has no such method
 */
export function checkKeyClient(client: unknown, method: "decrypt" | "generateDataKey"): void {
  const isClient = typeof client === "object" && client !== null &&
    typeof (client as Readonly<Record<string, unknown>>)[method] === "function";
  if (!isClient) throw new TypeError(`client must be a KmsClient, or have its ${method}()`);
}

const KEY_ARN = /^arn:[\w-]+:kms:[\w-]+:\w+:key\/[\w-]+$/;

/** Tells whether it names one key in full: no alias, and no id that means another key in another account. */
export function isKeyArn(keyId: string): boolean {
  return KEY_ARN.test(keyId);
}

/**
 * Checks the length of a data key.
 *
 * @param dataKey Data key that the client gave
 * @throws {EnvelopeError} `KEY`, when it does not have 32 bytes
 */
export function expectDataKey(dataKey: SecretBytes): void {
  if (dataKey.length === 32) return;
  throw new EnvelopeError("KEY", "Cannot use data key: it does not have 32 bytes", {
    hint: "Was the data key's ciphertext replaced by another?",
  });
}
