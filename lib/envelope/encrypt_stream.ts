/**
 * Envelope encryption of any amount of data: under its own data key, and the data key under a KMS key.
 *
 * A message is in version 2 of AWS's Encryption SDK format, so that AWS's libraries and command line, in every
 * language, read its messages, and it reads theirs with the suite
 * `AES_256_GCM_HKDF_SHA512_COMMIT_KEY` (0x0478). It is a header (lib/envelope/message_header.ts) and frames
 * (lib/envelope/frames.ts):
 *
 * - The AES key of a message is derived from its data key and its random id, with HKDF-SHA-512; the header
 *   commits to it, so that no message opens under two keys.
 * - A tag stands over all of the header, and one over each frame together with its number, its length, the
 *   message's id and whether it is the last: nothing can be dropped, repeated, moved or added unnoticed.
 *
 * Not read: suites that do not commit to their key, unframed messages, and signed messages (0x0578, which
 * AWS's tools write by default: pass them the suite above).
 *
 * @module
 */
import { concatBytes } from "../core/bytes.ts";
import { randomBytes } from "node:crypto";
import { checkFields, checkInteger } from "../core/checks.ts";
import { checkKeyId } from "../kms/operations/request_fields.ts";
import { CALL_FIELDS, type CallOptions, checkTimeout } from "../core/call_options.ts";
import { allocateOffHeap, SecretBytes } from "../core/secret_bytes.ts";
import { checkMessageContext, type EncryptionContext } from "./encryption_context.ts";
import { EnvelopeError } from "./envelope_error.ts";
import { sealFrame } from "./frames.ts";
import { checkKeyClient, type DataKeySource, expectDataKey, isKeyArn } from "./key_client.ts";
import { MessageCipher } from "./message_cipher.ts";
import { encodeHeader, KEY_BYTES, KMS_PROVIDER_ID, TAG_BYTES } from "./message_header.ts";
import { type EnvelopeStream, pullStream, type Transformation } from "./pull_stream.ts";

/** Options of {@link encryptStream}. */
export interface EncryptStreamOptions extends CallOptions {
  /** Key of KMS: its id, ARN, alias or alias ARN. On engine `sdk-client` the key ARN only. */
  readonly keyId: string;
  /**
   * Pairs that say what the message belongs to, and never a secret: they are authenticated with the message, readable
   * in it, needed by KMS to decrypt it, and written to CloudTrail. Names that begin with `aws-crypto-` are the
   * format's own.
   */
  readonly encryptionContext?: EncryptionContext | undefined;
  /** Plaintext bytes of a frame, 1024 to 1048576, which is about the memory that it takes. Default: 65536. */
  readonly frameBytes?: number | undefined;
}

/** {@link EncryptStreamOptions}, checked. */
interface CheckedEncryptOptions {
  readonly signal: AbortSignal | undefined;
  readonly keyId: string;
  readonly encryptionContext: EncryptionContext;
  readonly frameBytes: number;
  readonly timeoutMs: { readonly timeoutMs?: number };
}

/** Default of the frame length, in bytes. */
export const DEFAULT_FRAME_BYTES = 65_536;

const FRAME_RANGE = { min: 1024, max: 1_048_576, default: DEFAULT_FRAME_BYTES };
const FIELDS = ["keyId", "encryptionContext", "frameBytes", ...CALL_FIELDS];

/**
 * Encrypts a stream of any length, in memory that does not grow with it. Nothing happens, and KMS is not
 * asked, before the output is read; one data key is then made, and wiped as soon as the message's key
 * has been derived.
 *
 * Not guaranteed: a stream that is neither read to its end nor cancelled keeps the message's key in memory.
 *
 * @param client A {@link KmsClient}, or anything else that makes data keys
 * @param options The key, and the pairs to authenticate; `signal` ends the whole stream, `timeoutMs` is for the
 *   call to KMS only
 * @returns Two ends, for `pipeThrough()`. The output fails with the errors of `generateDataKey`, with the
 *   input's or the signal's reason, with a `TypeError` for a chunk that is no `Uint8Array`, and with an
 *   {@link EnvelopeError} when a message cannot have so many frames (`LIMIT`) or the client's data key is of
 *   no use (`KEY`)
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
 * const encryptionContext = { tenant: "a" };
 *
 * const message = new Blob(["attack at dawn"]).stream()
 *   .pipeThrough(encryptStream(client, { keyId, encryptionContext }));
 * const plaintext = message.pipeThrough(decryptStream(client, { keyId, encryptionContext }));
 * await new Response(plaintext).text(); // "attack at dawn"
 * ```
 */
export function encryptStream(client: DataKeySource, options: EncryptStreamOptions): EnvelopeStream {
  checkKeyClient(client, "generateDataKey");
  const checked = checkOptions(options);
  return pullStream(encryption(client, checked), checked.signal);
}

function checkOptions(given: EncryptStreamOptions): CheckedEncryptOptions {
  const options = checkFields("options of an encryption", given, FIELDS);
  return {
    signal: options.signal,
    keyId: checkKeyId(options.keyId),
    encryptionContext: checkMessageContext(options.encryptionContext),
    frameBytes: checkInteger("frameBytes", options.frameBytes, FRAME_RANGE),
    timeoutMs: checkStreamCall(options),
  };
}

/**
 * Checks the options of a call for a stream.
 *
 * @param call Signal and time-out
 * @returns Options to pass on to the client, whose own time-out is the default
 * @throws {TypeError} When the signal is no AbortSignal, or the time-out no number
 * @throws {RangeError} When the time-out is out of range
 */
export function checkStreamCall({ signal, timeoutMs }: CallOptions): { readonly timeoutMs?: number } {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError("signal must be an AbortSignal");
  }
  return timeoutMs === undefined ? {} : { timeoutMs: checkTimeout(timeoutMs, timeoutMs) };
}

function encryption(client: DataKeySource, options: CheckedEncryptOptions): Transformation {
  const { frameBytes } = options;
  return async function* (input, signal) {
    const messageId = new Uint8Array(randomBytes(KEY_BYTES));
    const { cipher: made, header } = await startMessage(client, options, messageId, signal);
    using cipher = made;
    yield header;
    using plaintext = new SecretBytes(allocateOffHeap(frameBytes));
    for (let number = 1, isFinal = false; !isFinal; number++) {
      const length = await input.readInto(plaintext.bytes);
      isFinal = await input.isAtEnd();
      yield sealFrame(
        cipher,
        { messageId, frameBytes },
        number,
        plaintext.bytes.subarray(0, length),
        isFinal,
      );
    }
  };
}

async function startMessage(
  client: DataKeySource,
  { keyId, encryptionContext, frameBytes, timeoutMs }: CheckedEncryptOptions,
  messageId: Uint8Array<ArrayBuffer>,
  signal: AbortSignal,
): Promise<{ cipher: MessageCipher; header: Uint8Array<ArrayBuffer> }> {
  using dataKey = await client.generateDataKey({
    keyId,
    keySpec: "AES_256",
    encryptionContext,
    signal,
    ...timeoutMs,
  });
  signal.throwIfAborted();
  expectDataKey(dataKey.plaintext);
  if (!isKeyArn(dataKey.keyId)) throw namelessKey();
  const dataKeys = [
    { providerId: KMS_PROVIDER_ID, providerInfo: dataKey.keyId, ciphertext: dataKey.ciphertext },
  ];
  const cipher = new MessageCipher(dataKey.plaintext, messageId);
  const { commitment } = cipher;
  const body = encodeHeader({ messageId, encryptionContext, dataKeys, frameBytes, commitment });
  const tag = new Uint8Array(TAG_BYTES);
  cipher.seal(0, body, new Uint8Array(0), tag);
  return { cipher, header: concatBytes([body, tag]) };
}

function namelessKey(): EnvelopeError {
  return new EnvelopeError("KEY", "Cannot encrypt message: the data key came without its key's ARN", {
    hint: "Engine sdk-client does not learn it: give it the key's ARN as keyId",
  });
}
