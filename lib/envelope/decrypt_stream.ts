import { checkFields, checkInteger } from "../core/checks.ts";
import { KmsError } from "../core/errors.ts";
import { CALL_FIELDS, type CallOptions } from "../core/call_options.ts";
import type { SecretBytes } from "../core/secret_bytes.ts";
import { checkStreamCall } from "./encrypt_stream.ts";
import { checkExpectedContext, type EncryptionContext, expectContext } from "./encryption_context.ts";
import { EnvelopeError } from "./envelope_error.ts";
import { openFrame } from "./frames.ts";
import { checkKeyClient, type DataKeyOpener, expectDataKey, isKeyArn } from "./key_client.ts";
import { MessageCipher } from "./message_cipher.ts";
import {
  type EncryptedDataKey,
  KMS_PROVIDER_ID,
  type MessageHeader,
  type ReadHeader,
  readHeader,
} from "./message_header.ts";
import { type EnvelopeStream, pullStream, type Transformation } from "./pull_stream.ts";

/** Options of {@link decryptStream}. */
export interface DecryptStreamOptions extends CallOptions {
  /**
   * ARN of the only key that may have encrypted the data key; or `"any"`, and the message names the key. With `"any"`,
   * anyone with the right to encrypt under some key that this enclave may use can make messages for it.
   */
  readonly keyId: string;
  /**
   * Pairs that the message must have: one or more, or leave it out to take any message. The message may have more, and
   * KMS gets all of them.
   */
  readonly encryptionContext?: EncryptionContext | undefined;
  /**
   * Longest frame of another writer, in bytes, 1024 to 67108864, which is about the memory that it takes. Default:
   * 1048576, the longest that {@link encryptStream} makes.
   */
  readonly maxFrameBytes?: number | undefined;
}

/** {@link DecryptStreamOptions}, checked. */
interface CheckedDecryptOptions {
  readonly signal: AbortSignal | undefined;
  readonly keyId: string;
  readonly encryptionContext: EncryptionContext;
  readonly maxFrameBytes: number;
  readonly timeoutMs: { readonly timeoutMs?: number };
}

const ANY_KEY = "any";
const MAX_FRAME_RANGE = { min: 1024, max: 67_108_864, default: 1_048_576 };
const FIELDS = ["keyId", "encryptionContext", "maxFrameBytes", ...CALL_FIELDS];

/**
 * Decrypts a message of {@link encryptStream}, or of an AWS Encryption SDK, in memory that does not grow with it.
 * A frame comes out only once its tag has been verified, and the last one only once the input has ended.
 *
 * **That a message was cut short is known only at its end: a program that acts on the plaintext before the output has
 * ended must be able to undo it, and must discard it when the output fails.**
 *
 * Not guaranteed: a stream that is neither read to its end nor cancelled keeps the message's key in memory,
 * and the plaintext is the reader's to wipe.
 *
 * @param client A {@link KmsClient}, or anything else that opens data keys
 * @param options The key and the context that the message must have; `signal` ends the whole stream,
 *   `timeoutMs` is for each call to KMS
 * @returns Two ends, for `pipeThrough()`. The output fails with the errors of `decrypt`, with the input's or the
 *   signal's reason, with a `TypeError` for a chunk that is no `Uint8Array`, and with an
 *   {@link EnvelopeError} whose code names the fault of the message
 * @throws {TypeError} When an option is missing, unknown or of a wrong type
 * @throws {RangeError} When an option is out of range
 * @example
 * ```ts
 * import { KmsClient } from "enclave-kms";
 * import { decryptStream, encryptStream } from "enclave-kms/envelope";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
 * const { arn: keyId } = await enclave.createKey();
 * await using client = await KmsClient.open(enclave.clientOptions);
 * const message = await new Response(
 *   new Blob(["attack at dawn"]).stream().pipeThrough(encryptStream(client, { keyId })),
 * ).bytes();
 *
 * const torn = new Blob([message.subarray(0, -1)]).stream().pipeThrough(decryptStream(client, { keyId }));
 * const error = await new Response(torn).text().catch((error) => error);
 * error.code; // "ERR_ENVELOPE_TRUNCATED"
 * ```
 */
export function decryptStream(client: DataKeyOpener, options: DecryptStreamOptions): EnvelopeStream {
  checkKeyClient(client, "decrypt");
  const checked = checkOptions(options);
  return pullStream(decryption(client, checked), checked.signal);
}

function checkOptions(given: DecryptStreamOptions): CheckedDecryptOptions {
  const options = checkFields("options of a decryption", given, FIELDS);
  const { keyId } = options;
  if (typeof keyId !== "string" || (keyId !== ANY_KEY && !isKeyArn(keyId))) {
    throw new TypeError(`keyId must be the key's ARN, which messages name it by, or "${ANY_KEY}"`);
  }
  return {
    signal: options.signal,
    keyId,
    encryptionContext: checkExpectedContext(options.encryptionContext),
    maxFrameBytes: checkInteger("maxFrameBytes", options.maxFrameBytes, MAX_FRAME_RANGE),
    timeoutMs: checkStreamCall(options),
  };
}

function decryption(client: DataKeyOpener, options: CheckedDecryptOptions): Transformation {
  return async function* (input, signal) {
    const header = await readHeader(input);
    expectContext(header.encryptionContext, options.encryptionContext);
    expectFrameLength(header, options.maxFrameBytes);
    using cipher = await openMessage(client, header, options, signal);
    for (let number = 1, isFinal = false; !isFinal; number++) {
      const frame = await openFrame(cipher, header, number, input);
      isFinal = frame.isFinal;
      if (isFinal && !await input.isAtEnd()) throw trailing(frame.plaintext);
      if (frame.plaintext.length > 0) yield frame.plaintext;
    }
  };
}

/** Makes the cipher of a message whose header has been verified. */
async function openMessage(
  client: DataKeyOpener,
  header: ReadHeader,
  options: CheckedDecryptOptions,
  signal: AbortSignal,
): Promise<MessageCipher> {
  using dataKey = await openDataKey(client, header, options, signal);
  signal.throwIfAborted();
  expectDataKey(dataKey);
  const cipher = new MessageCipher(dataKey, header.messageId);
  try {
    cipher.expectCommitment(header.commitment);
    cipher.open(0, header.body, header.tag);
    return cipher;
  } catch (error) {
    cipher[Symbol.dispose]();
    throw error;
  }
}

/** Tries the allowed data keys in order, as long as KMS itself refuses them. */
async function openDataKey(
  client: DataKeyOpener,
  header: MessageHeader,
  { keyId, timeoutMs }: CheckedDecryptOptions,
  signal: AbortSignal,
): Promise<SecretBytes> {
  const { encryptionContext } = header;
  const refusals: KmsError[] = [];
  for (const { providerInfo, ciphertext } of header.dataKeys.filter((dataKey) => isAllowed(dataKey, keyId))) {
    try {
      return await client.decrypt({
        ciphertext,
        keyId: providerInfo,
        encryptionContext,
        signal,
        ...timeoutMs,
      });
    } catch (error) {
      if (!(error instanceof KmsError)) throw error;
      refusals.push(error);
    }
  }
  throw refusals[0] ?? otherKey(keyId);
}

function isAllowed({ providerId, providerInfo }: EncryptedDataKey, keyId: string): boolean {
  if (providerId !== KMS_PROVIDER_ID) return false;
  return keyId === ANY_KEY ? isKeyArn(providerInfo) : providerInfo === keyId;
}

function expectFrameLength({ frameBytes }: MessageHeader, maxFrameBytes: number): void {
  if (frameBytes <= maxFrameBytes) return;
  throw new EnvelopeError("LIMIT", `Cannot decrypt message: its frames have ${frameBytes} bytes`, {
    hint: `At most ${maxFrameBytes} are allowed: raise maxFrameBytes if the writer is trusted`,
  });
}

function otherKey(keyId: string): EnvelopeError {
  const [what, hint] = keyId === ANY_KEY
    ? [
      "no data key of it is encrypted under a KMS key",
      "Was it encrypted with a keyring that is not of KMS?",
    ]
    : [
      "no data key of it is encrypted under the expected key",
      "Is keyId the ARN of the key, in its region?",
    ];
  return new EnvelopeError("KEY", `Cannot decrypt message: ${what}`, { hint });
}

function trailing(plaintext: Uint8Array): EnvelopeError {
  plaintext.fill(0);
  return new EnvelopeError("TRAILING", "Cannot decrypt message: more follows after its final frame", {
    hint: "Are several messages in one stream, or was something added? Discard the plaintext so far",
  });
}
