import type { CallOptions } from "../core/call_options.ts";
import type { SecretBytes } from "../core/secret_bytes.ts";
import type { EncryptionContext } from "./encryption_context.ts";
import { EnvelopeError } from "./envelope_error.ts";

/** What encryption needs of a {@link KmsClient}. */
export interface DataKeySource {
  /** Makes a data key of 32 bytes under a KMS key. */
  generateDataKey(
    request: CallOptions & {
      readonly keyId: string;
      readonly keySpec: "AES_256";
      readonly encryptionContext?: EncryptionContext;
    },
  ): Promise<
    Disposable & {
      readonly plaintext: SecretBytes;
      readonly ciphertext: Uint8Array<ArrayBuffer>;
      readonly keyId: string;
    }
  >;
}

/** What decryption needs of a {@link KmsClient}. */
export interface DataKeyOpener {
  /** Decrypts a data key. */
  decrypt(
    request: CallOptions & {
      readonly ciphertext: Uint8Array;
      readonly keyId: string;
      readonly encryptionContext?: EncryptionContext;
    },
  ): Promise<SecretBytes>;
}

/**
 * @param client What the caller gave
 * @param method What it is needed for
 * @throws {TypeError} When it cannot do that
 */
export function checkKeyClient(client: unknown, method: "decrypt" | "generateDataKey"): void {
  const isClient = typeof client === "object" && client !== null &&
    typeof (client as Readonly<Record<string, unknown>>)[method] === "function";
  if (!isClient) throw new TypeError(`client must be a KmsClient, or have its ${method}()`);
}

const KEY_ARN = /^arn:[\w-]+:kms:[\w-]+:\w+:key\/[\w-]+$/;

/** Whether it names one key, in full: no alias, and no id that means another key in another account. */
export function isKeyArn(keyId: string): boolean {
  return KEY_ARN.test(keyId);
}

/**
 * @param dataKey What the client gave
 * @throws {EnvelopeError} `KEY`, when it has not 32 bytes
 */
export function expectDataKey(dataKey: SecretBytes): void {
  if (dataKey.length === 32) return;
  throw new EnvelopeError("KEY", "Cannot use data key: it does not have 32 bytes", {
    hint: "Was another ciphertext put in the data key's place?",
  });
}
