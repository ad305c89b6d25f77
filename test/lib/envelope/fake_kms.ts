import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { KmsError, SecretBytes } from "../../../mod.ts";
import type { DataKeyOpener, DataKeySource, EncryptionContext } from "../../../lib/envelope/mod.ts";

export const KEY_ARN = "arn:aws:kms:us-east-1:111122223333:key/715c0818-5825-4245-a755-138a6d9a11e6";
export const OTHER_KEY_ARN = "arn:aws:kms:us-east-1:111122223333:key/00000000-5825-4245-a755-138a6d9a11e6";

const ROOT_KEY = randomBytes(32);

/**
 * A KMS of a few lines, as our client and as the client of AWS's keyring: a data key opens only with the key
 * and the context that it was made with. It keeps the secrets that it hands out, to see whether they are
 * wiped.
 */
export class FakeKms implements DataKeySource, DataKeyOpener {
  readonly secrets: SecretBytes[] = [];
  readonly requests: { keyId: string; encryptionContext?: EncryptionContext | undefined }[] = [];
  /** Bytes of the data keys that it makes. */
  keyBytes = 32;
  /** Key id in its answers, in place of the one in the request. */
  answeredKeyId: string | undefined;

  generateDataKey(
    request: Parameters<DataKeySource["generateDataKey"]>[0],
  ): ReturnType<DataKeySource["generateDataKey"]> {
    const { keyId, encryptionContext } = request;
    this.requests.push(request);
    const plaintext = this.#secret(randomBytes(this.keyBytes));
    const ciphertext = wrap(keyId, encryptionContext, plaintext.bytes);
    const dispose = () => plaintext[Symbol.dispose]();
    return Promise.resolve({
      plaintext,
      ciphertext,
      keyId: this.answeredKeyId ?? keyId,
      [Symbol.dispose]: dispose,
    });
  }

  decrypt(request: Parameters<DataKeyOpener["decrypt"]>[0]): Promise<SecretBytes> {
    const { keyId, ciphertext, encryptionContext } = request;
    this.requests.push(request);
    try {
      return Promise.resolve(this.#secret(unwrap(keyId, encryptionContext, ciphertext)));
    } catch {
      return Promise.reject(refusal());
    }
  }

  #secret(bytes: Uint8Array): SecretBytes {
    const secret = SecretBytes.copyOf(bytes);
    this.secrets.push(secret);
    return secret;
  }
}

/** The same KMS for AWS's keyring. */
export const awsKmsClient = {
  generateDataKey(
    request: { KeyId: string; NumberOfBytes: number; EncryptionContext?: EncryptionContext },
  ) {
    const { KeyId, NumberOfBytes, EncryptionContext } = request;
    const Plaintext = new Uint8Array(randomBytes(NumberOfBytes));
    return Promise.resolve({ Plaintext, CiphertextBlob: wrap(KeyId, EncryptionContext, Plaintext), KeyId });
  },
  encrypt(
    request: { KeyId: string; Plaintext: Uint8Array; EncryptionContext?: EncryptionContext },
  ) {
    const { KeyId, Plaintext, EncryptionContext } = request;
    return Promise.resolve({ CiphertextBlob: wrap(KeyId, EncryptionContext, Plaintext), KeyId });
  },
  decrypt(
    request: { KeyId: string; CiphertextBlob: Uint8Array; EncryptionContext?: EncryptionContext },
  ) {
    const { KeyId, CiphertextBlob, EncryptionContext } = request;
    return Promise.resolve({ Plaintext: unwrap(KeyId, EncryptionContext, CiphertextBlob), KeyId });
  },
};

function wrap(keyId: string, context: EncryptionContext = {}, key: Uint8Array): Uint8Array<ArrayBuffer> {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", ROOT_KEY, nonce).setAAD(associated(keyId, context));
  const sealed = [cipher.update(key), cipher.final()];
  return new Uint8Array(Buffer.concat([nonce, cipher.getAuthTag(), ...sealed]));
}

function unwrap(keyId: string, context: EncryptionContext = {}, sealed: Uint8Array): Uint8Array {
  const cipher = createDecipheriv("aes-256-gcm", ROOT_KEY, sealed.subarray(0, 12), { authTagLength: 16 });
  cipher.setAAD(associated(keyId, context)).setAuthTag(sealed.subarray(12, 28));
  return new Uint8Array(Buffer.concat([cipher.update(sealed.subarray(28)), cipher.final()]));
}

/** A replica of a multi-region key is the same key. */
function associated(keyId: string, context: EncryptionContext): Uint8Array {
  const key = keyId.replace(/:[\w-]+(:\d+:key\/mrk-)/, "$1");
  return new TextEncoder().encode(JSON.stringify([key, Object.entries(context).sort()]));
}

function refusal(): KmsError {
  return new KmsError("Cannot decrypt: KMS refused", {
    hint: "Is it the right key and context?",
    kmsCode: "InvalidCiphertextException",
    requestId: undefined,
    httpStatus: 400,
    retryable: false,
  });
}
