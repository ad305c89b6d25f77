/** Data keys of the service: from a secret of Secrets Manager, opened by KMS for this enclave. */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { Buffer } from "node:buffer";
import { DecryptCommand, type KMSClient } from "@aws-sdk/client-kms";
import { GetSecretValueCommand, type SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { decodeBase64, SecretBytes } from "enclave-kms";
import { ContentError } from "./refresh.ts";

/** Source of the data keys. */
export interface KeySource {
  readonly secrets: SecretsManagerClient;
  readonly kms: KMSClient;
  /** ARN of the secret. */
  readonly secretArn: string;
  /** ARN of the KMS key. Pinned: the secret may have been written by somebody with a key of their own. */
  readonly kmsKeyArn: string;
}

/** Data key as the secret has it. */
interface EncryptedKey {
  readonly id: string;
  /** Ciphertext of KMS, in base64. */
  readonly ciphertext: string;
}

interface DataKey extends EncryptedKey {
  readonly secret: SecretBytes;
}

const ALGORITHM = "aes-256-gcm";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const MIN_BASE64 = 40;
const MAX_KEYS = 64;
const VALUE = /^enc1:([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/]+={0,2})$/;

/** Data keys: the last one of the secret encrypts, and all of them decrypt. */
export class DataKeys implements Disposable {
  #keys: ReadonlyMap<string, DataKey> = new Map();
  #current: DataKey | undefined;

  /** Whether there are keys. */
  get isLoaded(): boolean {
    return this.#current !== undefined;
  }

  /**
   * Loads the keys that the secret has now. They take the place of those before in one step.
   *
   * @throws {ContentError} When the secret is malformed, or lacks the key that encrypts now: its values would be lost
   */
  async load({ secrets, kms, secretArn, kmsKeyArn }: KeySource, abortSignal: AbortSignal): Promise<void> {
    const answer = await secrets.send(new GetSecretValueCommand({ SecretId: secretArn }), { abortSignal });
    const encrypted = readKeys(answer.SecretString);
    this.#expectCurrent(encrypted);
    const keys = new Map<string, DataKey>();
    try {
      for (const { id, ciphertext } of encrypted) {
        const known = this.#keys.get(id);
        if (known !== undefined && known.ciphertext !== ciphertext) {
          throw new ContentError(`data key ${id} is another one than before`);
        }
        if (known !== undefined) {
          keys.set(id, known);
          continue;
        }
        const { Plaintext } = await kms.send(decryptCommand(id, ciphertext, kmsKeyArn), { abortSignal });
        keys.set(id, { id, ciphertext, secret: own(id, Plaintext) });
      }
    } catch (error) {
      this.#wipeOthers(keys, this.#keys);
      throw error;
    }
    this.#wipeOthers(this.#keys, keys);
    this.#keys = keys;
    this.#current = [...keys.values()].at(-1);
  }

  /**
   * Encrypts a value: `enc1:`, the id of the key, and nonce, ciphertext and tag in base64.
   *
   * @param context Authenticated with it; whoever decrypts has to know it
   */
  encrypt(plaintext: string, context: string): string {
    if (this.#current === undefined) throw new Error("There is no data key");
    const { id, secret } = this.#current;
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, secret.bytes, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(context));
    const parts = [nonce, cipher.update(plaintext, "utf8"), cipher.final(), cipher.getAuthTag()];
    return `enc1:${id}:${Buffer.concat(parts).toString("base64")}`;
  }

  /** Decrypts a value; undefined when it is none, its key is not there, or the context is another one. */
  decrypt(value: string, context: string): string | undefined {
    const [, id = "", base64 = ""] = VALUE.exec(value) ?? [];
    const key = this.#keys.get(id);
    if (key === undefined || base64.length < MIN_BASE64) return undefined;
    try {
      const bytes = decodeBase64(base64);
      const nonce = bytes.subarray(0, NONCE_BYTES);
      const decipher = createDecipheriv(ALGORITHM, key.secret.bytes, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(-TAG_BYTES));
      const plaintext = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
      return Buffer.concat([plaintext, decipher.final()]).toString("utf8");
    } catch {
      return undefined;
    }
  }

  /** Wipes the keys. */
  [Symbol.dispose](): void {
    this.#wipeOthers(this.#keys, new Map());
    this.#keys = new Map();
    this.#current = undefined;
  }

  /** Refuses a secret without the key that encrypts now, such as the one from before the last rotation. */
  #expectCurrent(keys: readonly EncryptedKey[]): void {
    const current = this.#current?.id;
    if (current === undefined || keys.some(({ id }) => id === current)) return;
    throw new ContentError(`the secret lacks data key ${current}, which encrypts now`);
  }

  #wipeOthers(keys: ReadonlyMap<string, DataKey>, kept: ReadonlyMap<string, DataKey>): void {
    for (const [id, { secret }] of keys) if (kept.get(id)?.secret !== secret) secret[Symbol.dispose]();
  }
}

/** Reads the secret: `{ "keys": [{ "id": "2026-12", "ciphertext": "…" }] }`, the newest last. */
function readKeys(text: string | undefined): readonly EncryptedKey[] {
  let keys: unknown;
  try {
    keys = (JSON.parse(text ?? "") as { keys?: unknown } | null)?.keys;
  } catch {
    throw new ContentError("the secret is no JSON");
  }
  const isList = Array.isArray(keys) && keys.length > 0 && keys.length <= MAX_KEYS && keys.every(isKey);
  if (!isList) {
    throw new ContentError("the secret must have `keys`, a list of data keys with id and ciphertext");
  }
  const read = keys as EncryptedKey[];
  if (new Set(read.map(({ id }) => id)).size === read.length) return read;
  throw new ContentError("two data keys of the secret have one id");
}

function isKey(key: unknown): key is EncryptedKey {
  const { id, ciphertext } = (key ?? {}) as Partial<Record<keyof EncryptedKey, unknown>>;
  return typeof id === "string" && /^[A-Za-z0-9_-]{1,32}$/.test(id) && typeof ciphertext === "string";
}

/** Asks for the key by its id: another one in its place is refused by KMS. */
function decryptCommand(id: string, ciphertext: string, KeyId: string): DecryptCommand {
  try {
    const EncryptionContext = { purpose: "field-encryption", key: id };
    return new DecryptCommand({ CiphertextBlob: decodeBase64(ciphertext), KeyId, EncryptionContext });
  } catch {
    throw new ContentError(`the ciphertext of data key ${id} is no base64`);
  }
}

/** Takes a plaintext into memory that is wiped, and wipes the SDK's. */
function own(id: string, plaintext: Uint8Array | undefined): SecretBytes {
  if (plaintext?.length !== KEY_BYTES) throw new ContentError(`data key ${id} is none of AES-256`);
  const secret = SecretBytes.copyOf(plaintext);
  plaintext.fill(0);
  return secret;
}
