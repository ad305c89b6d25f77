import { allocateOffHeap, SecretBytes } from "../core/secret_bytes.ts";
import { truncated } from "./byte_reader.ts";
import { MAX_MESSAGE_BYTES } from "./encrypt_message.ts";
import { EnvelopeError } from "./envelope_error.ts";
import { checkKeyClient, type DataKeyOpener } from "./key_client.ts";
import { TAG_BYTES } from "./header_fields.ts";
import { HeaderReader } from "./message_header.ts";
import { checkDecryptOptions, type DecryptOptions } from "./decrypt_options.ts";
import { MAX_FOOTER_BYTES, type MessageVerifier, readFooter, SIGNATURE } from "./message_signature.ts";
import type { FrameHead, FrameOpener } from "./open_frames.ts";
import { type OpenedMessage, openMessage, trailing } from "./open_message.ts";

/** Options of {@link decryptMessage}. */
export type DecryptMessageOptions = DecryptOptions;

/** Most frames of a message that is opened at once: each takes this thread, however short it is. */
const MAX_FRAMES_AT_ONCE = 1024;

/** Most bytes of such a message: its plaintext, its longest header, what is around each frame, and a signature. */
const MAX_SEALED_BYTES = MAX_MESSAGE_BYTES + 128 * 1024 + TAG_BYTES + (MAX_FRAMES_AT_ONCE + 2) * 32 +
  MAX_FOOTER_BYTES;

/**
 * Decrypts a message of at most 1 MiB at once, of {@link encryptMessage}, {@link encryptStream} or an AWS Encryption
 * SDK. Unlike a stream, it gives nothing before all of the message has been verified, its end and its signature too.
 *
 * @param client A {@link KmsClient}, or anything else that opens data keys, such as a cache of them
 * @param message The message; it is copied first, and not wiped
 * @param options The key and the context that the message must have; `signal` ends the call
 * @returns The plaintext, for the caller to dispose
 * @throws {TypeError} When an argument is missing, unknown or of a wrong type
 * @throws {RangeError} When an option is out of range
 * @throws {EnvelopeError} With the code that names the fault of the message; `LIMIT` when it is longer, or has more than
 *   1024 frames before the final one: {@link decryptStream} takes any number; and as `decrypt` does
 */
export async function decryptMessage(
  client: DataKeyOpener,
  message: Uint8Array,
  options: DecryptMessageOptions,
): Promise<SecretBytes> {
  checkKeyClient(client, "decrypt");
  const checked = checkDecryptOptions(options);
  if (!(message instanceof Uint8Array)) throw new TypeError("message must be a Uint8Array");
  if (message.length > MAX_SEALED_BYTES) throw tooLong();
  checked.signal?.throwIfAborted();
  const bytes = allocateOffHeap(message.length);
  bytes.set(message);
  const header = new HeaderReader().read(bytes);
  if (typeof header === "number") throw truncated();
  using opened = await openMessage(client, header, checked, checked.signal);
  return openAll(opened, bytes.subarray(header.body.length + TAG_BYTES));
}

/** Opens all frames into one piece of memory. Their tags come first: whatever is wrong is told as a stream tells it. */
function openAll({ frames, verifier }: OpenedMessage, bytes: Uint8Array<ArrayBuffer>): SecretBytes {
  const count = frames.countRegular(bytes, MAX_FRAMES_AT_ONCE);
  const { plainBytes, frameBytes } = frames.measure(count);
  const last = bytes.subarray(frameBytes);
  const head = attempt(() => readLast(frames, last, count));
  if (plainBytes + (head.value?.length ?? 0) > MAX_MESSAGE_BYTES) throw tooLong();
  const plaintext = new SecretBytes(allocateOffHeap(plainBytes + (head.value?.length ?? 0)));
  try {
    for (let opened = 0; opened < count;) {
      const done = frames.measure(opened);
      const target = plaintext.bytes.subarray(done.plainBytes);
      opened += frames.openRegular(bytes.subarray(done.frameBytes), count - opened, target);
    }
    if (head.value === undefined) throw head.error;
    frames.open(head.value, last, plaintext.bytes.subarray(plainBytes));
    expectEnd(verifier, bytes, frameBytes + head.value.frameBytes);
    return plaintext;
  } catch (error) {
    plaintext[Symbol.dispose]();
    throw error;
  }
}

function readLast(frames: FrameOpener, last: Uint8Array<ArrayBuffer>, count: number): FrameHead {
  const head = frames.readHead(last, count);
  if (typeof head === "number" || last.length < head.frameBytes) throw truncated();
  if (head.isFinal) return head;
  throw tooLong();
}

/** Checks what is behind the frames: the signature of a signed message, and nothing else. */
function expectEnd(
  verifier: MessageVerifier | undefined,
  bytes: Uint8Array<ArrayBuffer>,
  frameBytes: number,
): void {
  let rest = bytes.subarray(frameBytes);
  if (verifier !== undefined) {
    const footer = readFooter(rest);
    if (typeof footer === "number") throw truncated(SIGNATURE);
    verifier.update(bytes.subarray(0, frameBytes));
    verifier.expectSignature(footer.signature);
    rest = rest.subarray(footer.footerBytes);
  }
  if (rest.length > 0) throw trailing();
}

function attempt<T>(run: () => T): { readonly value?: T; readonly error?: unknown } {
  try {
    return { value: run() };
  } catch (error) {
    return { error };
  }
}

function tooLong(): EnvelopeError {
  return new EnvelopeError("LIMIT", "Cannot decrypt message: it is too long, or has too many frames", {
    hint: `Use decryptStream() for more than ${MAX_MESSAGE_BYTES} bytes or ${MAX_FRAMES_AT_ONCE} frames`,
  });
}
