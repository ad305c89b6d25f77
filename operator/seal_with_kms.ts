import type { CallOptions } from "../lib/core/call_options.ts";
import { checkFields, checkRecord } from "../lib/core/checks.ts";
import type { KmsClient } from "../lib/kms/kms_client.ts";
import { bytesOfSecret, type SecretInput } from "./secret_input.ts";

/** Key and context that an enclave pins for a secret. */
export interface KmsSeal extends CallOptions {
  /** ARN of the KMS key, `arn:aws:kms:<region>:<account>:key/<id>`. No alias: whoever may move it chooses the key. */
  readonly keyArn: string;
  /** Names and values that the enclave must repeat, at least one: without, any ciphertext of the key would do. */
  readonly encryptionContext: Readonly<Record<string, string>>;
}

const FIELDS = ["keyArn", "encryptionContext", "signal", "timeoutMs"];

const KEY_ARN = /^arn:[\w-]{1,32}:kms:[\w-]{1,32}:\d{12}:key\/[\w-]{1,64}$/;

/**
 * Encrypts a secret with KMS, for an enclave that pins the key and the context.
 *
 * Not guaranteed: who encrypted. Whoever may `kms:Encrypt` under the key can make another one: deny it to the parent's
 * role, and sign what is sealed, see {@link signSecret}.
 *
 * @param client Client of the key's region; outside of an enclave one with recipient `none`
 * @param secret 1 to 4096 bytes; the caller must wipe it
 * @param seal Key and context
 * @returns KMS's ciphertext, at most 6144 bytes
 * @throws {TypeError} When an argument is missing, unknown or of a wrong type, or the key is not named by its ARN
 * @throws {RangeError} When one is out of range, or the context is empty
 * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.decrypt}
 * @example
 * ```ts
 * import { KmsClient } from "enclave-kms";
 * import { sealWithKms } from "enclave-kms/operator";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using simulator = await startSimulator(); // with AWS: { region, credentials, endpoint }
 * const { arn: keyArn } = await simulator.createKey();
 * const { nsm: _, ...options } = simulator.clientOptions;
 * await using client = await KmsClient.open({ ...options, recipient: "none" });
 * const secret = new TextEncoder().encode("attack at dawn");
 * const sealed = await sealWithKms(client, secret, { keyArn, encryptionContext: { secret: "orders" } });
 * sealed.length > 14; // true
 * ```
 */
export async function sealWithKms(
  client: KmsClient,
  secret: SecretInput,
  seal: KmsSeal,
): Promise<Uint8Array<ArrayBuffer>> {
  const plaintext = bytesOfSecret("secret", secret);
  const { keyArn, encryptionContext, signal, timeoutMs } = checkFields("KMS seal", seal, FIELDS);
  if (typeof keyArn !== "string" || !KEY_ARN.test(keyArn)) {
    throw new TypeError("keyArn must be the ARN of a key, arn:aws:kms:<region>:<account>:key/<id>");
  }
  if (checkRecord("encryptionContext", encryptionContext).length === 0) {
    throw new RangeError("encryptionContext must have at least one name and value, which the enclave pins");
  }
  const request = { plaintext, keyId: keyArn, encryptionContext, signal, timeoutMs };
  return (await client.encrypt(request)).ciphertext;
}
