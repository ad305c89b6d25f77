import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { describe, test } from "#test";
import {
  type Envelope,
  MAX_ENVELOPE_BYTES,
  readEnvelope,
} from "../../../../lib/kms/recipient/read_envelope.ts";
import { ProtocolError } from "../../../../lib/core/errors.ts";
import { HAS_VECTORS, readVector, SKIPPED } from "../../attestation/vectors.ts";
import {
  concat,
  hasOpenssl,
  readWithPkijs,
  type Shape,
  withKmsParameters,
  writeEnvelope,
  writeWithOpenssl,
} from "./envelopes.ts";

const MESSAGE = "Cannot open CiphertextForRecipient: it is not an envelope for this key pair";
const SHAPES: readonly Shape[] = ["primitive", { segmentBytes: 4096 }, { segmentBytes: 1000 }, {
  segmentBytes: 20,
}];

function someFields(blocks: number): Envelope {
  const random = (length: number) => new Uint8Array(randomBytes(length));
  return { wrappedKey: random(256), iv: random(16), ciphertext: random(blocks * 16) };
}

/** With the headers of its segments. */
function contentLength(bytes: number, segmentBytes: number): number {
  const header = (length: number) => length === 0 ? 0 : length < 0x80 ? 2 : length < 0x100 ? 3 : 4;
  const last = bytes % segmentBytes;
  return bytes + Math.floor(bytes / segmentBytes) * header(segmentBytes) + header(last);
}

function refuses(bytes: Uint8Array, why: string): void {
  assert.throws(() => readEnvelope(bytes), (error: unknown) => {
    assert.ok(error instanceof ProtocolError, why);
    assert.equal(error.message, MESSAGE);
    assert.match(error.hint, /older attestation document, or by something other than KMS/);
    assert.equal(error.cause, undefined);
    return true;
  }, why);
}

describe("readEnvelope()", () => {
  test.skipIf(!HAS_VECTORS)(`reads what KMS really sent, as pkijs does${SKIPPED}`, () => {
    const genuine = readVector("kms-ciphertext-for-recipient.ber");
    const envelope = readEnvelope(genuine);
    assert.deepEqual(envelope, readWithPkijs(genuine));
    assert.equal(envelope.ciphertext.length, 48);
  });

  test("reads both shapes of content, as pkijs does", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.constantFrom(...SHAPES), (blocks, shape) => {
        const fields = someFields(blocks);
        const { bytes } = writeEnvelope(fields, shape);
        assert.deepEqual(readEnvelope(bytes), fields);
        assert.deepEqual(readWithPkijs(bytes), fields);
      }),
      { numRuns: 60 },
    );
  });

  test("returns copies, also from a Buffer", () => {
    const fields = someFields(2);
    const buffer = Buffer.from(writeEnvelope(fields, "primitive").bytes);
    const envelope = readEnvelope(buffer);
    buffer.fill(0);
    assert.deepEqual(envelope, fields);
  });

  // openssl is an independent writer; without the command there is nothing to compare with.
  test.skipIf(!hasOpenssl())(
    "reads what openssl writes, once it has KMS's parameters, and not before",
    () => {
      const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
      const pem = publicKey.export({ type: "spki", format: "pem" }).toString();
      for (const length of [1, 32, 4096]) {
        const theirs = writeWithOpenssl(pem, new Uint8Array(length));
        refuses(theirs, "parameters without NULL");
        const bytes = withKmsParameters(theirs);
        assert.deepEqual(readEnvelope(bytes), readWithPkijs(bytes));
        assert.equal(readEnvelope(bytes).ciphertext.length, length + 16 - length % 16);
      }
    },
  );

  for (const shape of ["primitive", { segmentBytes: 32 }] as const) {
    test(`refuses every flipped bit outside the fields: ${JSON.stringify(shape)}`, () => {
      const { bytes, spans } = writeEnvelope(someFields(3), shape);
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const at = bit >> 3;
        const flipped = bytes.slice();
        flipped[at]! ^= 1 << (bit & 7);
        if (spans.some(({ start, end }) => start <= at && at < end)) readEnvelope(flipped);
        else refuses(flipped, `bit ${bit}`);
      }
    });

    test(`refuses every truncation, insertion and anything after the end: ${JSON.stringify(shape)}`, () => {
      const { bytes } = writeEnvelope(someFields(3), shape);
      for (let at = 0; at < bytes.length; at++) {
        refuses(bytes.subarray(0, at), `cut at ${at}`);
        refuses(concat([bytes.subarray(0, at), Uint8Array.of(0), bytes.subarray(at)]), `inserted at ${at}`);
        refuses(concat([bytes.subarray(0, at), bytes.subarray(at + 1)]), `removed at ${at}`);
      }
      refuses(concat([bytes, Uint8Array.of(0)]), "one more byte");
      refuses(concat([bytes, bytes]), "twice");
    });
  }

  test("accepts a mangled envelope only where pkijs reads the same from it", () => {
    const { bytes } = writeEnvelope(someFields(4), { segmentBytes: 32 });
    const mangled = fc.tuple(fc.nat(bytes.length), fc.nat(40), fc.uint8Array({ maxLength: 40 }));
    fc.assert(
      fc.property(mangled, ([at, removed, added]) => {
        const mutant = concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);
        let envelope: Envelope;
        try {
          envelope = readEnvelope(mutant);
        } catch (error) {
          assert.ok(error instanceof ProtocolError);
          return;
        }
        assert.deepEqual(envelope, readWithPkijs(mutant));
      }),
      { numRuns: 2000 },
    );
  });

  test("refuses content that is empty, or no whole number of blocks", () => {
    for (const shape of SHAPES) {
      for (const length of [0, 1, 15, 17, 47]) {
        const fields = { ...someFields(1), ciphertext: new Uint8Array(length) };
        refuses(writeEnvelope(fields, shape).bytes, `${length} bytes`);
      }
    }
  });

  test("refuses segments that are empty, constructed or of indefinite length, and long forms that are not due", () => {
    const fields = someFields(1);
    const { bytes, spans } = writeEnvelope(fields, { segmentBytes: 16 });
    const start = spans[3]!.start - 2;
    const replaced = (segment: Uint8Array) =>
      concat([bytes.subarray(0, start), segment, bytes.subarray(start + 18)]);
    const header = (...header: number[]) => replaced(concat([Uint8Array.from(header), fields.ciphertext]));
    assert.deepEqual(readEnvelope(header(0x04, 0x10)), fields);
    refuses(header(0x04, 0x00, 0x04, 0x10), "empty");
    refuses(header(0x24, 0x12, 0x04, 0x10), "constructed");
    refuses(header(0x24, 0x80, 0x04, 0x10), "constructed, indefinite");
    refuses(header(0x04, 0x81, 0x10), "one length byte too many");
    refuses(header(0x04, 0x82, 0x00, 0x10), "two length bytes too many");
    refuses(header(0x04, 0x84, 0xff, 0xff, 0xff, 0xff), "four gigabytes");
  });

  test("refuses lengths in any form but the three", () => {
    const short = writeEnvelope(someFields(8), { segmentBytes: 128 });
    const at = short.spans[3]!.start - 3;
    assert.deepEqual([...short.bytes.subarray(at, at + 3)], [0x04, 0x81, 0x80]);
    refuses(concat([short.bytes.subarray(0, at + 1), short.bytes.subarray(at + 2)]), "indefinite");
    const { bytes, spans } = writeEnvelope(someFields(16), { segmentBytes: 256 });
    const form = spans[3]!.start - 3;
    assert.equal(bytes[form], 0x82);
    for (const other of [0x80, 0x83, 0x84, 0xff]) refuses(bytes.with(form, other), other.toString(16));
  });

  test("reads one of exactly the longest length", () => {
    const empty = { ...someFields(1), ciphertext: new Uint8Array() };
    const frame = writeEnvelope(empty, { segmentBytes: 16 }).bytes.length;
    const sizes = Array.from({ length: 400 }, (_, more) => 16 + more);
    const longest = sizes.flatMap((segmentBytes) =>
      Array.from({ length: 400 }, (_, less) => ({ segmentBytes, blocks: 1000 - less }))
    ).find(({ segmentBytes, blocks }) =>
      frame + contentLength(blocks * 16, segmentBytes) === MAX_ENVELOPE_BYTES
    );
    assert.ok(longest);
    const fields = someFields(longest.blocks);
    const { bytes } = writeEnvelope(fields, { segmentBytes: longest.segmentBytes });
    assert.equal(bytes.length, MAX_ENVELOPE_BYTES);
    assert.deepEqual(readEnvelope(bytes), fields);
  });

  test("refuses what is longer than the cap", () => {
    const room = MAX_ENVELOPE_BYTES - writeEnvelope(someFields(20), "primitive").bytes.length;
    const blocks = 20 + Math.floor(room / 16);
    readEnvelope(writeEnvelope(someFields(blocks), "primitive").bytes);
    refuses(writeEnvelope(someFields(blocks + 1), "primitive").bytes, "too long");
    refuses(new Uint8Array(10_000_000), "much too long");
  });
});
