import { allocateOffHeap } from "../core/secret_bytes.ts";
import type { ByteReader } from "./byte_reader.ts";
import { TAG_BYTES } from "./header_fields.ts";
import { HeaderReader, type ReadHeader } from "./message_header.ts";
import { type MessageVerifier, readFooter, SIGNATURE } from "./message_signature.ts";
import { type OpenedMessage, trailing } from "./open_message.ts";
import { framesOfPiece, type PieceMemory } from "./piece_memory.ts";

/**
 * Reads a header into memory of its own: it is needed after the chunk that it came in.
 *
 * @param input Reader at the first byte of a message; afterwards it stands at the first frame
 * @returns The header, whose tag is not verified yet
 * @throws {EnvelopeError} `FORMAT`, `SUITE`, `LIMIT` or `TRUNCATED`
 */
export async function readHeader(input: ByteReader): Promise<ReadHeader> {
  const reader = new HeaderReader();
  let read = reader.read(input.ready);
  while (typeof read === "number") read = reader.read(await input.require(read));
  const bytes = allocateOffHeap(read.body.length + TAG_BYTES);
  bytes.set(input.ready.subarray(0, bytes.length));
  input.skip(bytes.length);
  return reader.read(bytes) as ReadHeader;
}

/**
 * Opens the frames that are there in one piece and not the last.
 *
 * @param message The message
 * @param input Reader that stands at a frame
 * @param memory Memory for the plaintext
 * @returns Their verified plaintext; undefined when there is no such frame
 * @throws {EnvelopeError} `FORMAT` or `AUTHENTICATION`
 */
export function openReady(
  { frames, verifier }: Pick<OpenedMessage, "frames" | "verifier">,
  input: ByteReader,
  memory: PieceMemory,
): Uint8Array<ArrayBuffer> | undefined {
  const most = framesOfPiece(frames.atOnce, frames.measure(1).plainBytes, memory);
  const count = frames.countRegular(input.ready, most);
  if (count === 0) return undefined;
  const plaintext = memory.take(frames.measure(count).plainBytes);
  const opened = frames.measure(frames.openRegular(input.ready, count, plaintext));
  verifier?.update(input.ready.subarray(0, opened.frameBytes));
  input.skip(opened.frameBytes);
  return plaintext.subarray(0, opened.plainBytes);
}

/**
 * Waits for the next frame and opens it.
 *
 * @param message The message
 * @param input Reader that stands at the frame
 * @param memory Memory for the plaintext
 * @returns Its verified plaintext, and whether it is the last
 * @throws {EnvelopeError} `ORDER`, `FORMAT`, `AUTHENTICATION` or `TRUNCATED`
 */
export async function openNext(
  { frames, verifier }: Pick<OpenedMessage, "frames" | "verifier">,
  input: ByteReader,
  memory: PieceMemory,
): Promise<{ readonly plaintext: Uint8Array<ArrayBuffer>; readonly isFinal: boolean }> {
  let head = frames.readHead(input.ready);
  while (typeof head === "number") head = frames.readHead(await input.require(head));
  const frame = await input.require(head.frameBytes);
  const plaintext = memory.take(head.length);
  frames.open(head, frame, plaintext);
  verifier?.update(frame.subarray(0, head.frameBytes));
  input.skip(head.frameBytes);
  return { plaintext, isFinal: head.isFinal };
}

/**
 * Waits for the end of the input, and verifies the signature before it, if there is one.
 *
 * @param verifier Verifier of a signed message
 * @param input Reader that stands behind the last frame
 * @param plaintext Plaintext of the last frame, which is wiped when anything else comes
 * @throws {EnvelopeError} `SIGNATURE`, `TRUNCATED` or `TRAILING`
 */
export async function expectEnd(
  verifier: MessageVerifier | undefined,
  input: ByteReader,
  plaintext: Uint8Array,
): Promise<void> {
  try {
    if (verifier !== undefined) await expectSignature(verifier, input);
    if (!await input.isAtEnd()) throw trailing();
  } catch (error) {
    plaintext.fill(0);
    throw error;
  }
}

async function expectSignature(verifier: MessageVerifier, input: ByteReader): Promise<void> {
  let footer = readFooter(input.ready);
  while (typeof footer === "number") footer = readFooter(await input.require(footer, SIGNATURE));
  verifier.expectSignature(footer.signature);
  input.skip(footer.footerBytes);
}
