import { decodeHex } from "../../../lib/core/encoding.ts";
import { concatBytes } from "../../../lib/core/bytes.ts";
import { encodeContext } from "../../../lib/envelope/encryption_context.ts";
import { ByteReader } from "../../../lib/envelope/byte_reader.ts";
import { EnvelopeError } from "../../../lib/envelope/envelope_error.ts";
import type { MessageCipher } from "../../../lib/envelope/message_cipher.ts";
import {
  encodeHeader,
  KEY_BYTES,
  type MessageHeader,
  type ReadHeader,
  SIGNED_SUITE_ID,
  SUITE_ID,
} from "../../../lib/envelope/message_header.ts";
import { TAG_BYTES } from "../../../lib/envelope/header_fields.ts";
import { MessageVerifier, PUBLIC_KEY_NAME } from "../../../lib/envelope/message_signature.ts";
import { FrameOpener } from "../../../lib/envelope/open_frames.ts";
import { expectEnd, openNext, openReady, readHeader } from "../../../lib/envelope/read_message.ts";
import { FrameSealer } from "../../../lib/envelope/seal_frames.ts";
import { FRESH_MEMORY } from "../../../lib/envelope/piece_memory.ts";
import { isSampled } from "../sampling.ts";
import { dictionary, expect, expectSame, type FuzzTarget } from "../target.ts";

/** As decryptStream() does, before it asks KMS. */
const MAX_FRAME_BYTES = 65_536;

/**
 * A message of the Encryption SDK's format: its header and frames, with a cipher that takes every tag, since
 * no mutation could make a right one. The first byte decides in what chunks it comes; that must not matter.
 */
export const message: FuzzTarget = {
  name: "message",
  maxLength: 140_000,
  covers: [
    "lib/envelope/message_header.ts",
    "lib/envelope/header_fields.ts",
    "lib/envelope/message_signature.ts",
    "lib/envelope/open_frames.ts",
    "lib/envelope/read_message.ts",
    "lib/envelope/byte_reader.ts",
    "lib/envelope/encryption_context.ts",
  ],
  dictionary: dictionary(
    "0x020478",
    "0x0180",
    "0x020578",
    "0x0000",
    "0x0001",
    "0x0021",
    "0xffff",
    "0x02",
    "0x00001000",
    "0xffffffff",
    "0x0000000000000000000000000001",
    "aws-kms",
    "aws-crypto-public-key",
    "__proto__",
    "0x00097f5f70726f746f5f5f",
    "0xc3a9",
    "0xeda080",
  ),
  seeds: () =>
    Promise.resolve([
      ...HEADERS.map((header) => writeMessage(header, [header.frameBytes, header.frameBytes, 5])),
      writeMessage(BASE, [BASE.frameBytes]),
      writeMessage(BASE, [0]),
      writeMessage({ ...BASE, dataKeys: [] }, [1]),
      writePiece(9),
      concatBytes([writeMessage(SIGNED, [16, 5]), SIGNATURE]),
    ].map((bytes) => Uint8Array.of(99, ...bytes))),
  async run(input) {
    const [chunkBytes = 0] = input;
    const body = input.subarray(1);
    const verdict = await read(body, 1 + chunkBytes);
    if (isSampled(input, 8)) expectSame(await read(body, body.length + 1), verdict, "in one chunk");
    return verdict;
  },
};

const ARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const KMS_KEY = { providerId: "aws-kms", providerInfo: ARN, ciphertext: new Uint8Array(20).fill(3) };
const BASE: MessageHeader = {
  suiteId: SUITE_ID,
  messageId: new Uint8Array(KEY_BYTES).fill(1),
  encryptionContext: {},
  dataKeys: [KMS_KEY],
  frameBytes: 16,
  commitment: new Uint8Array(KEY_BYTES).fill(2),
};
const HEADERS: readonly MessageHeader[] = [
  BASE,
  { ...BASE, encryptionContext: { tenant: "red", grüße: "日本", a: "" } },
  { ...BASE, dataKeys: [{ ...KMS_KEY, providerId: "raw" }, KMS_KEY, KMS_KEY], frameBytes: 4096 },
];

/** Header of a signed message, and the signature over it and frames of 16 and 5 bytes. */
const SIGNED: MessageHeader = {
  ...BASE,
  suiteId: SIGNED_SUITE_ID,
  encryptionContext: {
    [PUBLIC_KEY_NAME]: "AhuLEOX+NWJoaEdzLVrOqnPAyStKWSr/U8Jv5eOuAbeBa5UCJWNmu6ZIz4zU1Q/9FA==",
  },
};
const SIGNATURE = decodeHex(
  "00683066023100d49a6492b59ad685831c729a8b7bfb9327abd36af4a35af632618775ac4c331e38962d941c97c98b1e3f2ebfb70f" +
    "1cff0231009794b68a5aafdead5eadeb6fef3c56f90149d282a045d3a4de7326340d17ec17aa855ebf36517bbfae70486d483b82d5",
);

/** Seals and opens without a secret: what it seals stays as it is. */
const cipher = {
  bytesAtOnce: 8192,
  seal: (_number: number, _associated: Uint8Array, plaintext: Uint8Array, target: Uint8Array) =>
    target.set(plaintext),
  open: (_number: number, _associated: Uint8Array, sealed: Uint8Array, target: Uint8Array) =>
    target.set(sealed.subarray(0, -TAG_BYTES)),
  rest: () => {},
} as unknown as MessageCipher;

function writeMessage(header: MessageHeader, lengths: readonly number[]): Uint8Array {
  const sealer = new FrameSealer(cipher, header);
  const frames = lengths.map((length, index) => {
    const plaintext = new Uint8Array(length).fill(index);
    const isFinal = index === lengths.length - 1;
    const frame = new Uint8Array(isFinal ? sealer.finalBytes(length) : sealer.regularBytes(1));
    if (isFinal) sealer.sealFinal(plaintext, frame);
    else sealer.sealRegular(plaintext, frame);
    return frame;
  });
  return concatBytes([encodeHeader(header), ...frames]);
}

/** Writes a message in one piece. */
function writePiece(length: number): Uint8Array {
  const head = new Uint8Array(12 + 8);
  head[0] = 7;
  head[19] = length;
  return concatBytes([encodeHeader({ ...BASE, frameBytes: 0 }), head, new Uint8Array(length + TAG_BYTES)]);
}

async function read(bytes: Uint8Array, chunkBytes: number): Promise<string> {
  let at = 0;
  const next = () => {
    const chunk = bytes.subarray(at, at + chunkBytes);
    at += chunk.length;
    return Promise.resolve(chunk.length === 0 ? undefined : chunk);
  };
  const input = new ByteReader({ read: next }, NEVER);
  try {
    const header = await readHeader(input);
    checkHeader(header, bytes);
    if (header.frameBytes > MAX_FRAME_BYTES) return "frames too long";
    return `ok, ${Math.min(await readFrames(header, input), 4)} frames`;
  } catch (error) {
    if (!(error instanceof EnvelopeError)) throw error;
    return error.code;
  }
}

const NEVER = new AbortController().signal;

async function readFrames(header: ReadHeader, input: ByteReader): Promise<number> {
  const verifier = MessageVerifier.forHeader(header);
  verifier?.update(header.body);
  verifier?.update(header.tag);
  const opened = { frames: new FrameOpener(cipher, header, MAX_FRAME_BYTES), verifier };
  const isOnePiece = header.frameBytes === 0;
  for (let number = 1;; number++) {
    const ready = openReady(opened, input, FRESH_MEMORY);
    if (ready !== undefined) {
      expect(ready.length > 0 && ready.length % header.frameBytes === 0, "frames are of another length");
      number += ready.length / header.frameBytes - 1;
      continue;
    }
    const { plaintext, isFinal } = await openNext(opened, input, FRESH_MEMORY);
    if (isOnePiece) expect(isFinal && plaintext.length <= MAX_FRAME_BYTES, "the one piece is too long");
    else expect(plaintext.length <= header.frameBytes, "a frame is longer than the header says");
    expect(isFinal || plaintext.length === header.frameBytes, "a frame is shorter than the header says");
    if (!isFinal) continue;
    await expectEnd(verifier, input, plaintext);
    return number;
  }
}

/** Checks that a header is written as it was read, if its texts are texts and its pairs are in order. */
function checkHeader(header: ReadHeader, bytes: Uint8Array): void {
  const { body, tag, dataKeys, encryptionContext } = header;
  expectSame(new Uint8Array(body), new Uint8Array(bytes.subarray(0, body.length)), "the bytes under the tag");
  expectSame(
    new Uint8Array(tag),
    new Uint8Array(bytes.subarray(body.length, body.length + TAG_BYTES)),
    "the tag",
  );
  expect(dataKeys.length > 0 && dataKeys.length <= 32, "a wrong number of data keys");
  const isText = dataKeys.every(({ providerId, providerInfo }) => !/\ufffd/.test(providerId + providerInfo));
  const context = encodeContext(encryptionContext);
  const written = body.subarray(37, 37 + context.length);
  const isSorted = context.every((byte, at) => byte === written[at]);
  if (isText && isSorted) {
    const again = encodeHeader(header).subarray(0, -TAG_BYTES);
    expectSame(again, new Uint8Array(body), "the header written again");
  }
}
