import { checkRecord } from "../core/checks.ts";
import { Deadline } from "../core/deadline.ts";
import { openEngine } from "./open_engine.ts";
import { checkOptions, type KmsClientOptions } from "./kms_options.ts";
import { DECRYPT, DECRYPT_FIELDS, type DecryptRequest } from "./operations/decrypt.ts";
import { CALL_FIELDS, checkCall } from "../core/call_options.ts";
import type { SecretBytes } from "../core/secret_bytes.ts";

/** Options of {@link kmsDecrypt}: those of a client, and one request. */
export type KmsDecryptOptions = KmsClientOptions & DecryptRequest;

/**
 * Decrypts one ciphertext with an engine of its own, from the key pair to the clean-up. A service that
 * decrypts more than once keeps a {@link KmsClient} instead: making the key pair is most of the work. Meanwhile it
 * connects to KMS, unless `maxAttempts` is 1.
 *
 * @param options The options of {@link KmsClient.open} and of {@link KmsClient.decrypt}; `timeoutMs` bounds it
 *   all
 * @returns The plaintext; dispose it with `using`
 * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.open} and {@link KmsClient.decrypt}
 *
 * @example
 * ```ts
 * import { kmsDecrypt } from "enclave-kms";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
 * const { keyId } = await enclave.createKey();
 * const encryptionContext = { tenant: "a" };
 * const ciphertext = await enclave.encrypt({ keyId, plaintext: "hello", encryptionContext });
 *
 * using plaintext = await kmsDecrypt({ ...enclave.clientOptions, ciphertext, encryptionContext });
 * new TextDecoder().decode(plaintext.bytes); // "hello"
 * ```
 */
export async function kmsDecrypt(options: KmsDecryptOptions): Promise<SecretBytes> {
  const [request, clientOptions] = splitOptions(options);
  const checkedRequest = DECRYPT.check(request);
  const checkedOptions = checkOptions(clientOptions);
  const { signal, timeoutMs } = checkCall(request, checkedOptions.timeoutMs);
  using deadline = new Deadline("decrypt", timeoutMs, signal);
  deadline.throwIfPassed();
  await using engine = await openEngine(checkedOptions, deadline, { connectsAhead: true });
  return await engine.run("decrypt", checkedRequest, { deadline });
}

function splitOptions(options: KmsDecryptOptions): [request: DecryptRequest, options: KmsClientOptions] {
  const ofRequest = (field: string) => DECRYPT_FIELDS.includes(field) || CALL_FIELDS.includes(field);
  const entries = checkRecord("The options", options);
  const request = Object.fromEntries(entries.filter(([field]) => ofRequest(field)));
  const rest = entries.filter(([field]) => !ofRequest(field));
  return [request as unknown as DecryptRequest, Object.fromEntries(rest) as unknown as KmsClientOptions];
}
