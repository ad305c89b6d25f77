import { readFile } from "node:fs/promises";
import type { KmsClient, SecretBytes } from "enclave-kms";

/** Secrets by the name of their setting. Dispose each when it is no longer needed. */
export type Settings = ReadonlyMap<string, SecretBytes>;

/**
 * Decrypts a JSON file of `{ "<setting>": "<base64 of KMS's ciphertext>" }`.
 *
 * The name of a setting is in its encryption context: a value that was swapped for another one's does not decrypt.
 *
 * @param client A client that is kept
 * @param path The file's path
 * @throws {KmsError} When KMS refuses one of them; those before it are wiped
 */
export async function decryptSettings(client: KmsClient, path: string): Promise<Settings> {
  const ciphertexts = JSON.parse(await readFile(path, "utf8")) as Record<string, string>;
  const settings = new Map<string, SecretBytes>();
  try {
    for (const [setting, ciphertext] of Object.entries(ciphertexts)) {
      settings.set(setting, await client.decrypt({ ciphertext, encryptionContext: { setting } }));
    }
    return settings;
  } catch (error) {
    for (const secret of settings.values()) secret[Symbol.dispose]();
    throw error;
  }
}
