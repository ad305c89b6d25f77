import { concatBytes } from "../../../lib/core/bytes.ts";
import { encodeContext } from "../../../lib/envelope/encryption_context.ts";
import { ByteReader } from "../../../lib/envelope/byte_reader.ts";
import { EnvelopeError } from "../../../lib/envelope/envelope_error.ts";
import { openFrame, sealFrame } from "../../../lib/envelope/frames.ts";
import type { MessageCipher } from "../../../lib/envelope/message_cipher.ts";
import {
  encodeHeader,
  KEY_BYTES,
  type MessageHeader,
  type ReadHeader,
  readHeader,
  TAG_BYTES,
} from "../../../lib/envelope/message_header.ts";
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
    "lib/envelope/frames.ts",
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

/** Seals and opens without a secret: what it seals stays as it is. */
const cipher = {
  seal: (_number: number, _associated: Uint8Array, plaintext: Uint8Array, target: Uint8Array) =>
    target.set(plaintext),
  open: (_number: number, _associated: Uint8Array, sealed: Uint8Array) => sealed.slice(0, -TAG_BYTES),
} as unknown as MessageCipher;

function writeMessage(header: MessageHeader, lengths: readonly number[]): Uint8Array {
  const frames = lengths.map((length, index) => {
    const plaintext = new Uint8Array(length).fill(index);
    return sealFrame(cipher, header, index + 1, plaintext, index === lengths.length - 1);
  });
  return concatBytes([encodeHeader(header), new Uint8Array(TAG_BYTES), ...frames]);
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
  for (let number = 1;; number++) {
    const { plaintext, isFinal } = await openFrame(cipher, header, number, input);
    expect(plaintext.length <= header.frameBytes, "a frame is longer than the header says");
    expect(isFinal || plaintext.length === header.frameBytes, "a frame is shorter than the header says");
    if (isFinal) return number;
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
  if (isText && isSorted) expectSame(encodeHeader(header), new Uint8Array(body), "the header written again");
}
