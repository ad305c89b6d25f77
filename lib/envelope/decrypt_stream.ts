import { checkKeyClient, type DataKeyOpener } from "./key_client.ts";
import type { ByteReader } from "./byte_reader.ts";
import { holdUntilEnd } from "./held_plaintext.ts";
import { checkDecryptOptions, type CheckedDecryptOptions, type DecryptOptions } from "./decrypt_options.ts";
import { type OpenedMessage, openMessage } from "./open_message.ts";
import { FRESH_MEMORY, type PieceMemory } from "./piece_memory.ts";
import { type EnvelopeStream, pullStream, type Transformation } from "./pull_stream.ts";
import { expectEnd, openNext, openReady, readHeader } from "./read_message.ts";

/** Options of {@link decryptStream}. */
export type DecryptStreamOptions = DecryptOptions;

/**
 * Decrypts a message of {@link encryptStream}, or of an AWS Encryption SDK, in memory that does not grow with it.
 * A frame comes out only once its tag has been verified, and the last one only once the input has ended.
 *
 * A signed message (0x0578) has its signature at its end: its plaintext is held until that is verified, at most
 * `maxHeldBytes` of it, unless `releaseUnverified` is set.
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
  const checked = checkDecryptOptions(options);
  return pullStream(decryption(client, checked), checked.signal);
}

/**
 * Makes the transformation of a message into its plaintext.
 *
 * @param client Client that opens data keys
 * @param options The options
 */
export function decryption(client: DataKeyOpener, options: CheckedDecryptOptions): Transformation {
  return async function* (input, signal, memory) {
    const header = await readHeader(input);
    using message = await openMessage(client, header, options, signal);
    const mustHold = message.verifier !== undefined && !options.releaseUnverified;
    const pieces = openPieces(message, input, mustHold ? FRESH_MEMORY : memory);
    yield* mustHold ? holdUntilEnd(pieces, options.maxHeldBytes, signal) : pieces;
  };
}

async function* openPieces(
  message: OpenedMessage,
  input: ByteReader,
  memory: PieceMemory,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  for (let isFinal = false; !isFinal;) {
    const opened = openReady(message, input, memory);
    if (opened !== undefined) {
      yield opened;
      continue;
    }
    const frame = await openNext(message, input, memory);
    isFinal = frame.isFinal;
    if (isFinal) await expectEnd(message.verifier, input, frame.plaintext);
    if (frame.plaintext.length > 0) yield frame.plaintext;
  }
}
