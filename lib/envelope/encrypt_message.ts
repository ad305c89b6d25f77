import { concatBytes } from "../core/bytes.ts";
import { checkKeyClient, type DataKeySource } from "./key_client.ts";
import { checkEncryptOptions, type EncryptOptions, startMessage } from "./start_message.ts";

/** Most plaintext bytes of a message that is made or opened at once. */
export const MAX_MESSAGE_BYTES = 1_048_576;

/** Options of {@link encryptMessage}. */
export type EncryptMessageOptions = EncryptOptions;

/**
 * Encrypts at most 1 MiB at once: the message is one that {@link encryptStream} could have made, in a fraction of
 * the time, and {@link decryptStream} and AWS's tools read it. One data key is made, and wiped as soon as the message's
 * key has been derived.
 *
 * Not guaranteed: that the plaintext is what it was when the call began. It is read once KMS has answered, and nothing
 * is copied: leave it as it is until then.
 *
 * @param client A {@link KmsClient}, or anything else that makes data keys, such as a cache of them
 * @param plaintext 0 to 1048576 bytes, for the caller to wipe
 * @param options The key, and the pairs to authenticate; `signal` ends the call
 * @returns The message: about 350 bytes more than the plaintext, the context, and 32 bytes for each further frame;
 *   a signature adds about 210 bytes
 * @throws {TypeError} When an argument is missing, unknown or of a wrong type
 * @throws {RangeError} When an option is out of range, or the plaintext too long: {@link encryptStream} takes any length
 * @throws {EnvelopeError} When the client's data key is of no use (`KEY`); and as `generateDataKey` does
 * @example
 * ```ts
 * import { KmsClient } from "enclave-kms";
 * import { decryptMessage, encryptMessage } from "enclave-kms/envelope";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
 * const { arn: keyId } = await enclave.createKey();
 * await using client = await KmsClient.open(enclave.clientOptions);
 * const options = { keyId, encryptionContext: { tenant: "a" } };
 *
 * const message = await encryptMessage(client, new TextEncoder().encode("attack at dawn"), options);
 * using plaintext = await decryptMessage(client, message, options);
 * new TextDecoder().decode(plaintext.bytes); // "attack at dawn"
 * ```
 */
export async function encryptMessage(
  client: DataKeySource,
  plaintext: Uint8Array,
  options: EncryptMessageOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  checkKeyClient(client, "generateDataKey");
  const checked = checkEncryptOptions(options);
  const { length } = checkPlaintext(plaintext);
  checked.signal?.throwIfAborted();
  using message = await startMessage(client, checked, checked.signal, length);
  if (plaintext.length !== length) throw new TypeError("plaintext must keep its length");
  const { header, whole, frames, signer } = message;
  const regular = Math.max(0, Math.ceil(length / checked.frameBytes) - 1);
  const split = regular * checked.frameBytes;
  const start = header.length + frames.regularBytes(regular);
  if (regular > 0) {
    frames.sealRegular(checkPlaintext(plaintext.subarray(0, split)), whole.subarray(header.length, start));
  }
  frames.sealFinal(checkPlaintext(plaintext.subarray(split)), whole.subarray(start));
  if (signer === undefined) return whole;
  signer.update(whole.subarray(header.length));
  return concatBytes([whole, signer.footer()]);
}

function checkPlaintext(plaintext: unknown): Uint8Array<ArrayBuffer> {
  if (!(plaintext instanceof Uint8Array) || !(plaintext.buffer instanceof ArrayBuffer)) {
    throw new TypeError("plaintext must be a Uint8Array over an ArrayBuffer");
  }
  if (plaintext.length <= MAX_MESSAGE_BYTES) return plaintext as Uint8Array<ArrayBuffer>;
  throw new RangeError(
    `plaintext must have at most ${MAX_MESSAGE_BYTES} bytes: encryptStream() takes any number`,
  );
}
