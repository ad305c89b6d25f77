/**
 * Envelope encryption of any amount of data: under its own data key, and the data key under a KMS key.
 *
 * A message is in version 2 of AWS's Encryption SDK format, so that AWS's libraries and command line, in every
 * language, read its messages, and it reads theirs with the suites `AES_256_GCM_HKDF_SHA512_COMMIT_KEY` (0x0478) and
 * `…_COMMIT_KEY_ECDSA_P384` (0x0578). It is a header (lib/envelope/message_header.ts), frames (lib/envelope/frames.ts)
 * and, in the second suite, a signature (lib/envelope/message_signature.ts):
 *
 * - The AES key of a message is derived from its data key and its random id, with HKDF-SHA-512; the header
 *   commits to it, so that no message opens under two keys.
 * - A tag stands over all of the header, and one over each frame together with its number, its length, the
 *   message's id and whether it is the last: nothing can be dropped, repeated, moved or added unnoticed.
 *
 * Not read: suites that do not commit to their key. Not written: messages in one piece.
 *
 * @module
 */
import { allocateOffHeap, SecretBytes } from "../core/secret_bytes.ts";
import type { ByteReader } from "./byte_reader.ts";
import { checkKeyClient, type DataKeySource } from "./key_client.ts";
import { framesOfPiece, type PieceMemory } from "./piece_memory.ts";
import { type EnvelopeStream, pullStream, type Transformation } from "./pull_stream.ts";
import type { FrameSealer } from "./seal_frames.ts";
import {
  type CheckedEncryptOptions,
  checkEncryptOptions,
  type EncryptOptions,
  startMessage,
} from "./start_message.ts";

/** Options of {@link encryptStream}. */
export type EncryptStreamOptions = EncryptOptions;

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
  const checked = checkEncryptOptions(options);
  return pullStream(encryption(client, checked), checked.signal);
}

/**
 * Makes the transformation of plaintext into a message.
 *
 * @param client Client that makes data keys
 * @param options The options
 */
export function encryption(client: DataKeySource, options: CheckedEncryptOptions): Transformation {
  const { frameBytes } = options;
  return async function* (input, signal, memory) {
    using message = await startMessage(client, options, signal);
    const { frames, header, signer } = message;
    yield header;
    using plaintext = new SecretBytes(allocateOffHeap(frameBytes));
    for (let isFinal = false; !isFinal;) {
      const sealed = sealReady(frames, frameBytes, input, memory);
      if (sealed !== undefined) {
        signer?.update(sealed);
        yield sealed;
        continue;
      }
      const length = await input.readInto(plaintext.bytes);
      isFinal = await input.isAtEnd();
      const one = sealOne(frames, plaintext.bytes.subarray(0, length), isFinal, memory);
      signer?.update(one);
      yield one;
    }
    if (signer !== undefined) yield signer.footer();
  };
}

/** Seals the frames that are there in one piece, with something behind them; undefined when there is none. */
function sealReady(
  frames: FrameSealer,
  frameBytes: number,
  input: ByteReader,
  memory: PieceMemory,
): Uint8Array<ArrayBuffer> | undefined {
  const { ready } = input;
  const most = framesOfPiece(frames.atOnce, frames.regularBytes(1), memory);
  const count = Math.min(most, Math.floor((ready.length - 1) / frameBytes));
  if (count < 1) return undefined;
  const sealed = memory.take(frames.regularBytes(count));
  frames.sealRegular(ready.subarray(0, count * frameBytes), sealed);
  input.skip(count * frameBytes);
  return sealed;
}

/** Seals one frame. */
function sealOne(
  frames: FrameSealer,
  plaintext: Uint8Array<ArrayBuffer>,
  isFinal: boolean,
  memory: PieceMemory,
): Uint8Array<ArrayBuffer> {
  const sealed = memory.take(isFinal ? frames.finalBytes(plaintext.length) : frames.regularBytes(1));
  if (isFinal) frames.sealFinal(plaintext, sealed);
  else frames.sealRegular(plaintext, sealed);
  return sealed;
}
