import { KmsError } from "../core/errors.ts";
import { concatBytes } from "../core/bytes.ts";
import { allocateOffHeap, type SecretBytes } from "../core/secret_bytes.ts";
import { allowedDataKeys } from "./allowed_keys.ts";
import type { CheckedDecryptOptions, SignaturePolicy } from "./decrypt_options.ts";
import { completeContext, encodeContext, expectContext } from "./encryption_context.ts";
import { EnvelopeError } from "./envelope_error.ts";
import { type DataKeyOpener, expectDataKey } from "./key_client.ts";
import { MessageCipher } from "./message_cipher.ts";
import { type MessageHeader, type ReadHeader, SIGNED_SUITE_ID } from "./message_header.ts";
import { MessageVerifier, unsigned } from "./message_signature.ts";
import { FrameOpener } from "./open_frames.ts";

/** Plaintext and ciphertext of the header, which is only authenticated. */
const NOTHING = allocateOffHeap(0);

/** Message whose header is verified. Disposing it wipes its key. */
export interface OpenedMessage extends Disposable {
  /** Opener of its frames. */
  readonly frames: FrameOpener;
  /** Verifier of its signature, which has taken the header; undefined for a message without one. */
  readonly verifier: MessageVerifier | undefined;
}

/**
 * Opens a message whose header has been read: compares the header with the options, has the data key decrypted, and
 * verifies the header.
 *
 * @param client Client that opens data keys
 * @param header The header
 * @param options The options
 * @param signal Signal of the whole decryption
 * @returns The message
 * @throws {EnvelopeError} `CONTEXT`, `LIMIT`, `SUITE`, `SIGNATURE`, `KEY`, `COMMITMENT` or `AUTHENTICATION`
 */
export async function openMessage(
  client: DataKeyOpener,
  header: ReadHeader,
  options: CheckedDecryptOptions,
  signal: AbortSignal | undefined,
): Promise<OpenedMessage> {
  expectContext(header.encryptionContext, options.encryptionContext);
  expectFrameLength(header, options.maxFrameBytes);
  expectFewDataKeys(header, options.maxEncryptedDataKeys);
  expectSuite(header, options.signature);
  const verifier = MessageVerifier.forHeader(header);
  const context = completeContext(header.encryptionContext, options.unstoredContext);
  using dataKey = await openDataKey(client, { ...header, encryptionContext: context.all }, options, signal);
  signal?.throwIfAborted();
  expectDataKey(dataKey);
  const cipher = new MessageCipher(dataKey, header.messageId, undefined, header.suiteId);
  try {
    cipher.expectCommitment(header.commitment);
    const leftOut = encodeContext(context.leftOut);
    const associated = leftOut.length === 0 ? header.body : concatBytes([header.body, leftOut]);
    cipher.open(0, associated, header.tag, NOTHING);
    verifier?.update(header.body);
    verifier?.update(header.tag);
    const frames = new FrameOpener(cipher, header, options.maxFrameBytes);
    return { frames, verifier, [Symbol.dispose]: () => cipher[Symbol.dispose]() };
  } catch (error) {
    cipher[Symbol.dispose]();
    throw error;
  }
}

/** Tries the allowed data keys in order, as long as KMS itself refuses them. */
async function openDataKey(
  client: DataKeyOpener,
  header: MessageHeader,
  { allowedKeys, timeoutMs }: CheckedDecryptOptions,
  signal: AbortSignal | undefined,
): Promise<SecretBytes> {
  const { encryptionContext } = header;
  const refusals: KmsError[] = [];
  for (const { ciphertext, keyId } of allowedDataKeys(header.dataKeys, allowedKeys)) {
    try {
      return await client.decrypt({
        ciphertext,
        keyId,
        encryptionContext,
        signal,
        ...timeoutMs,
      });
    } catch (error) {
      if (!(error instanceof KmsError)) throw error;
      refusals.push(error);
    }
  }
  // A data key that is refused for good says nothing of one whose turn may come.
  throw refusals.find(({ retryable }) => retryable) ?? refusals[0];
}

function expectFrameLength({ frameBytes }: MessageHeader, maxFrameBytes: number): void {
  if (frameBytes <= maxFrameBytes) return;
  throw new EnvelopeError(
    "LIMIT",
    `Cannot decrypt message: its frames of ${frameBytes} bytes exceed maxFrameBytes`,
    {
      hint: `Raise maxFrameBytes, now ${maxFrameBytes}, if the writer is trusted`,
    },
  );
}

function expectFewDataKeys({ dataKeys }: MessageHeader, maxEncryptedDataKeys: number): void {
  if (dataKeys.length <= maxEncryptedDataKeys) return;
  throw new EnvelopeError(
    "LIMIT",
    `Cannot decrypt message: its ${dataKeys.length} encrypted data keys exceed maxEncryptedDataKeys`,
    {
      hint: `Raise maxEncryptedDataKeys, now ${maxEncryptedDataKeys}, if the writer is trusted`,
    },
  );
}

function expectSuite({ suiteId }: MessageHeader, policy: SignaturePolicy): void {
  const isSigned = suiteId === SIGNED_SUITE_ID;
  if (policy === "require" && !isSigned) throw unsigned("it has no signature, which is required");
  if (policy !== "refuse" || !isSigned) return;
  throw new EnvelopeError("SUITE", "Cannot decrypt message: it is signed, which is refused", {
    hint: "Encrypt with AES_256_GCM_HKDF_SHA512_COMMIT_KEY (0x0478), or leave `signature` out",
  });
}

/** Makes the error of a message that goes on after its end. */
export function trailing(): EnvelopeError {
  return new EnvelopeError("TRAILING", "Cannot decrypt message: bytes follow its final frame", {
    hint: "Are several messages in one stream, or was something added? Discard the plaintext so far",
  });
}
