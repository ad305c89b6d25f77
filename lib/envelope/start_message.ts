import { checkFields, checkFlag, checkInteger } from "../core/checks.ts";
import { CALL_FIELDS, type CallOptions, checkTimeout } from "../core/call_options.ts";
import { allocateOffHeap } from "../core/secret_bytes.ts";
import { checkKeyId } from "../kms/operations/request_fields.ts";
import { checkMessageContext, type EncryptionContext } from "./encryption_context.ts";
import { EnvelopeError } from "./envelope_error.ts";
import { type DataKeySource, expectDataKey, isKeyArn } from "./key_client.ts";
import { MessageCipher } from "./message_cipher.ts";
import { MessageSigner, PUBLIC_KEY_NAME, SIGNATURE_PAIR } from "./message_signature.ts";
import { TAG_BYTES } from "./header_fields.ts";
import { encodeHeader, KMS_PROVIDER_ID, SIGNED_SUITE_ID, SUITE_ID, type SuiteId } from "./message_header.ts";
import { makeMessageId } from "./message_id.ts";
import { FrameSealer, sealedBytes } from "./seal_frames.ts";

/** Options of every encryption. */
export interface EncryptOptions extends CallOptions {
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
  /**
   * Whether to sign the message (suite 0x0578, which AWS's tools write by default): those who may only decrypt it can
   * then not change it. Each message gets a key pair of its own, in 2 to 3 ms more, and readers hold the plaintext back
   * until its end. The private key is the collector's to free. Default: false (suite 0x0478).
   */
  readonly signed?: boolean | undefined;
}

/** {@link EncryptOptions}, checked. */
export interface CheckedEncryptOptions {
  readonly signal: AbortSignal | undefined;
  readonly keyId: string;
  readonly encryptionContext: EncryptionContext;
  readonly frameBytes: number;
  readonly signed: boolean;
  readonly timeoutMs: { readonly timeoutMs?: number };
}

/** Default of the frame length, in bytes. */
export const DEFAULT_FRAME_BYTES = 65_536;

const FRAME_RANGE = { min: 1024, max: 1_048_576, default: DEFAULT_FRAME_BYTES };
/** Plaintext and ciphertext of the header, which is only authenticated. */
const NOTHING = allocateOffHeap(0);

const FIELDS = ["keyId", "encryptionContext", "frameBytes", "signed", ...CALL_FIELDS];

/**
 * Checks the options of an encryption.
 *
 * @param given Options of the caller
 * @throws {TypeError} When an option is missing, unknown or of a wrong type
 * @throws {RangeError} When an option is out of range
 */
export function checkEncryptOptions(given: EncryptOptions): CheckedEncryptOptions {
  const options = checkFields("options of an encryption", given, FIELDS);
  const signed = checkFlag("signed", options.signed);
  return {
    signal: options.signal,
    keyId: checkKeyId(options.keyId),
    encryptionContext: checkMessageContext(options.encryptionContext, signed ? [SIGNATURE_PAIR] : []),
    frameBytes: checkInteger("frameBytes", options.frameBytes, FRAME_RANGE),
    signed,
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

/** Message that has been begun. Disposing it wipes its key. */
export interface StartedMessage extends Disposable {
  /** Sealer of its frames. */
  readonly frames: FrameSealer;
  /** Header with its tag. */
  readonly header: Uint8Array<ArrayBuffer>;
  /** The same memory, with room behind it for all frames of a message whose length is known. */
  readonly whole: Uint8Array<ArrayBuffer>;
  /** Signer, which has taken the header; undefined for a message without a signature. */
  readonly signer: MessageSigner | undefined;
}

/**
 * Begins a message under a data key of its own.
 *
 * @param client Client that makes data keys
 * @param options The options
 * @param signal Signal of the whole encryption
 * @param plaintextBytes Length of the message, if it is known
 * @throws {EnvelopeError} `KEY`, when the client's data key is of no use
 */
export async function startMessage(
  client: DataKeySource,
  options: CheckedEncryptOptions,
  signal: AbortSignal | undefined,
  plaintextBytes?: number,
): Promise<StartedMessage> {
  const signer = options.signed ? new MessageSigner() : undefined;
  const encryptionContext = withPublicKey(options.encryptionContext, signer);
  const { keyId, timeoutMs } = options;
  const request = { keyId, keySpec: "AES_256" as const, encryptionContext, signal, ...timeoutMs };
  // A signed message's context is its own: to keep its data key would only displace others.
  using dataKey = plaintextBytes === undefined || signer !== undefined || !client.generateDataKeyFor
    ? await client.generateDataKey(request)
    : await client.generateDataKeyFor(plaintextBytes, request);
  signal?.throwIfAborted();
  expectDataKey(dataKey.plaintext);
  if (!isKeyArn(dataKey.keyId)) throw namelessKey();
  const { keyId: providerInfo, ciphertext } = dataKey;
  const dataKeys = [{ providerId: KMS_PROVIDER_ID, providerInfo, ciphertext }];
  const messageId = makeMessageId();
  const suiteId: SuiteId = signer === undefined ? SUITE_ID : SIGNED_SUITE_ID;
  const cipher = new MessageCipher(dataKey.plaintext, messageId, undefined, suiteId);
  try {
    const { commitment } = cipher;
    const { frameBytes } = options;
    const fields = { suiteId, messageId, encryptionContext, dataKeys, frameBytes, commitment };
    const framesBytes = plaintextBytes === undefined ? 0 : sealedBytes(plaintextBytes, frameBytes);
    const whole = encodeHeader(fields, framesBytes);
    const header = whole.subarray(0, whole.length - framesBytes);
    const tagAt = header.length - TAG_BYTES;
    cipher.seal(0, header.subarray(0, tagAt), NOTHING, header.subarray(tagAt));
    signer?.update(header);
    const frames = new FrameSealer(cipher, { messageId, frameBytes });
    return { frames, header, whole, signer, [Symbol.dispose]: () => cipher[Symbol.dispose]() };
  } catch (error) {
    cipher[Symbol.dispose]();
    throw error;
  }
}

function withPublicKey(context: EncryptionContext, signer: MessageSigner | undefined): EncryptionContext {
  return signer === undefined ? context : Object.freeze({ ...context, [PUBLIC_KEY_NAME]: signer.publicKey });
}

function namelessKey(): EnvelopeError {
  return new EnvelopeError("KEY", "Cannot encrypt message: the ARN of the KMS key is not known", {
    hint: "Engine sdk-client does not learn it from KMS: give the ARN as keyId",
  });
}
