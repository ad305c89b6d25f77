import assert from "node:assert/strict";
import { decode, encode, Tag } from "cbor2";
import fc from "fast-check";
import { describe, test } from "#test";
import {
  decodeAttestationDocument,
  MAX_ATTESTATION_DOCUMENT_BYTES,
} from "../../../lib/attestation/document.ts";
import { decodeHex, encodeHex } from "../../../lib/core/encoding.ts";
import { type AttestationCheck, AttestationError } from "../../../lib/core/errors.ts";
import { SoftwareNsm } from "../../../sim/nsm/nsm.ts";
import { HAS_VECTORS, readVector, SKIPPED } from "./vectors.ts";

type Fields = Record<string, unknown>;
type Cose = [header: Uint8Array, unprotected: unknown, payload: Uint8Array, signature: Uint8Array];

/** A document that is good in form, with room for one thing wrong. */
const GOOD: Readonly<Fields> = {
  module_id: "i-0123456789abcdef0-enc0123456789abcdef",
  digest: "SHA384",
  timestamp: 1_700_000_000_000,
  pcrs: new Map([[0, new Uint8Array(48).fill(1)]]),
  certificate: Uint8Array.of(0x30, 0),
  cabundle: [Uint8Array.of(0x30, 0)],
  public_key: null,
  user_data: null,
  nonce: null,
};

const HEADER = Uint8Array.of(0xa1, 0x01, 0x38, 0x22);

function document(changes: Fields = {}, cose: Partial<Record<0 | 1 | 2 | 3, unknown>> = {}): Uint8Array {
  const payload = encode({ ...GOOD, ...changes });
  return encode([cose[0] ?? HEADER, cose[1] ?? {}, cose[2] ?? payload, cose[3] ?? new Uint8Array(96)]);
}

function without(name: string): Uint8Array {
  const { [name]: _, ...rest } = GOOD;
  return document({}, { 2: encode(rest) });
}

function isOfCheck(check: AttestationCheck): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof AttestationError, String(error));
    assert.equal(error.code, `ERR_ATTESTATION_${check}`, error.message);
    assert.ok(error.hint.length > 10);
    return true;
  };
}

/** Every way of being wrong in form, one at a time, with its check. */
const MALFORMED: Readonly<Record<string, readonly [check: AttestationCheck, make: () => Uint8Array]>> = {
  "no bytes": ["CBOR", () => new Uint8Array()],
  "one byte too many": ["CBOR", () => Uint8Array.of(...document(), 0)],
  "the last byte missing": ["CBOR", () => document().slice(0, -1)],
  "longer than the limit": ["TOO_LARGE", () => new Uint8Array(MAX_ATTESTATION_DOCUMENT_BYTES + 1)],
  "tagged as COSE_Sign1": ["COSE", () => encode(new Tag(18, decode(document())))],
  "a map instead of an array": ["COSE", () => encode({})],
  "three parts": ["COSE", () => encode((decode(document()) as unknown[]).slice(0, 3))],
  "five parts": ["COSE", () => encode([...(decode(document()) as unknown[]), 1])],
  "ES256": ["ALGORITHM", () => document({}, { 0: Uint8Array.of(0xa1, 0x01, 0x26) })],
  "an empty protected header": ["ALGORITHM", () => document({}, { 0: new Uint8Array() })],
  "the header not as bytes": ["COSE", () => document({}, { 0: { 1: -35 } })],
  "the unprotected header missing": ["COSE", () => document({}, { 1: [] })],
  "the payload missing": ["COSE", () => encode([HEADER, {}, null, new Uint8Array(96)])],
  "a signature of 95 bytes": ["COSE", () => document({}, { 3: new Uint8Array(95) })],
  "a signature of 97 bytes": ["COSE", () => document({}, { 3: new Uint8Array(97) })],
  "a payload that is not CBOR": ["CBOR", () => document({}, { 2: Uint8Array.of(0xff) })],
  "a payload that is a list": ["COSE", () => document({}, { 2: encode([]) })],
  "a byte behind the payload": ["CBOR", () => document({}, { 2: Uint8Array.of(...encode(GOOD), 0) })],
  "module_id missing": ["FIELD_MISSING", () => without("module_id")],
  "module_id empty": ["FIELD", () => document({ module_id: "" })],
  "module_id as bytes": ["FIELD", () => document({ module_id: new Uint8Array(3) })],
  "module_id null": ["FIELD", () => document({ module_id: null })],
  "digest missing": ["FIELD_MISSING", () => without("digest")],
  "digest SHA256": ["FIELD", () => document({ digest: "SHA256" })],
  "timestamp missing": ["FIELD_MISSING", () => without("timestamp")],
  "timestamp 0": ["FIELD", () => document({ timestamp: 0 })],
  "timestamp negative": ["FIELD", () => document({ timestamp: -1 })],
  "timestamp a fraction": ["CBOR", () => document({ timestamp: 1.5 })],
  "timestamp beyond 2^53": ["FIELD", () => document({ timestamp: 2n ** 60n })],
  "timestamp a text": ["FIELD", () => document({ timestamp: "1700000000000" })],
  "pcrs missing": ["FIELD_MISSING", () => without("pcrs")],
  "pcrs empty": ["FIELD", () => document({ pcrs: new Map() })],
  "pcrs a list": ["FIELD", () => document({ pcrs: [new Uint8Array(48)] })],
  "a PCR of 47 bytes": ["FIELD", () => document({ pcrs: new Map([[0, new Uint8Array(47)]]) })],
  "a PCR that is a text": ["FIELD", () => document({ pcrs: new Map([[0, "0".repeat(48)]]) })],
  "a PCR with index 32": ["FIELD", () => document({ pcrs: new Map([[32, new Uint8Array(48)]]) })],
  "a PCR with index -1": ["FIELD", () => document({ pcrs: new Map([[-1, new Uint8Array(48)]]) })],
  "a PCR with a text as index": ["FIELD", () => document({ pcrs: new Map([["0", new Uint8Array(48)]]) })],
  "certificate missing": ["FIELD_MISSING", () => without("certificate")],
  "certificate empty": ["FIELD", () => document({ certificate: new Uint8Array() })],
  "certificate too long": ["FIELD", () => document({ certificate: new Uint8Array(4097) })],
  "cabundle missing": ["FIELD_MISSING", () => without("cabundle")],
  "cabundle empty": ["FIELD", () => document({ cabundle: [] })],
  "cabundle of nine": [
    "FIELD",
    () => document({ cabundle: Array.from({ length: 9 }, () => Uint8Array.of(1)) }),
  ],
  "cabundle with an empty entry": ["FIELD", () => document({ cabundle: [new Uint8Array()] })],
  "cabundle with a text": ["FIELD", () => document({ cabundle: ["x"] })],
  "cabundle null": ["FIELD", () => document({ cabundle: null })],
  "public_key a text": ["FIELD", () => document({ public_key: "x" })],
  "public_key too long": ["FIELD", () => document({ public_key: new Uint8Array(4097) })],
  "user_data a number": ["FIELD", () => document({ user_data: 1 })],
  "nonce a list": ["FIELD", () => document({ nonce: [1] })],
  "nonce undefined": ["CBOR", () => document({ nonce: undefined })],
  "nonce a simple value that means nothing": ["CBOR", () => {
    return document({}, { 2: Uint8Array.from(encode(GOOD)).with(-1, 0xf0) });
  }],
  "nonce tagged": ["FIELD", () => document({ nonce: new Tag(24, new Uint8Array(1)) })],
  "a duplicate key": ["DUPLICATE_KEY", () => {
    const twice = encode(GOOD);
    twice[0] = 0xaa; // a map of ten
    return document({}, { 2: Uint8Array.of(...twice, ...encode("nonce"), 0xf6) });
  }],
  "a duplicate PCR": ["DUPLICATE_KEY", () => {
    const pcr = encode(new Map([[0, new Uint8Array(48)]])).slice(1);
    return replacePcrs(Uint8Array.of(0xa2, ...pcr, ...pcr));
  }],
  "a PCR index not in its shortest form": ["NOT_CANONICAL", () => {
    return replacePcrs(Uint8Array.of(0xa1, 0x18, 0, ...encode(new Uint8Array(48))));
  }],
  "an outer length not in its shortest form": [
    "NOT_CANONICAL",
    () => Uint8Array.of(0x98, 4, ...document().slice(1)),
  ],
  "an indefinite outer array": ["NOT_CANONICAL", () => Uint8Array.of(0x9f, ...document().slice(1), 0xff)],
  "an array of 2^32 parts": [
    "CBOR",
    () => Uint8Array.of(0x9a, 0xff, 0xff, 0xff, 0xff, ...document().slice(1)),
  ],
  "a map of 2^53 PCRs": [
    "CBOR",
    () => replacePcrs(Uint8Array.of(0xbb, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)),
  ],
  "a byte string of 2^63 bytes": ["CBOR", () => Uint8Array.of(0x84, 0x5b, 0x80, 0, 0, 0, 0, 0, 0, 0)],
  "nested 10,000 deep": ["CBOR", () => new Uint8Array(10_000).fill(0x81)],
  "nested 4,000 deep, and complete": ["CBOR", () => new Uint8Array(4001).fill(0x81).fill(0, 4000)],
  "nested 30 deep, and complete": ["TOO_DEEP", () => new Uint8Array(31).fill(0x81).fill(0, 30)],
  "nested five deep, and complete": ["TOO_DEEP", () => document({ nonce: [[[[[1]]]]] })],
  "a COSE_Sign1 in nine arrays": [
    "TOO_DEEP",
    () => Uint8Array.of(...new Uint8Array(9).fill(0x81), ...document()),
  ],
  "a payload length in four bytes": ["NOT_CANONICAL", () => {
    const payload = encode(GOOD);
    const length = [0x5a, 0, 0, payload.length >> 8, payload.length & 0xff];
    const signature = encode(new Uint8Array(96));
    return Uint8Array.of(0x84, ...encode(HEADER), 0xa0, ...length, ...payload, ...signature);
  }],
  "a timestamp in four bytes that would fit one": ["NOT_CANONICAL", () => {
    const hex = encodeHex(encode({ ...GOOD, timestamp: 7 })).replace(
      "74696d657374616d7007",
      "74696d657374616d701a00000007",
    );
    return document({}, { 2: decodeHex(hex) });
  }],
  "a certificate in chunks": ["NOT_CANONICAL", () => {
    const { certificate: _, ...rest } = GOOD;
    const chunks = Uint8Array.of(0x5f, 0x41, 0x30, 0x41, 0, 0xff);
    return document({}, {
      2: Uint8Array.of(0xa9, ...encode(rest).slice(1), ...encode("certificate"), ...chunks),
    });
  }],
  "a text that is not UTF-8": ["CBOR", () => document({}, { 2: Uint8Array.of(0xa1, 0x61, 0xff, 0x01) })],
};

/** A document whose map of PCRs is written by hand. */
function replacePcrs(pcrs: Uint8Array): Uint8Array {
  const { pcrs: _, ...rest } = GOOD;
  const others = encode(rest).slice(1);
  return document({}, { 2: Uint8Array.of(0xa9, ...others, ...encode("pcrs"), ...pcrs) });
}

/**
 * The same document with a payload of open length, as far as it is a document whose payload begins as a map.
 */
function withOpenPayload(bytes: Uint8Array): Uint8Array {
  const good = encode(HEADER);
  const [start, rest] = [Uint8Array.of(0x84, ...good, 0xa0), bytes.subarray(2 + good.length)];
  const isDocument = start.every((byte, i) => byte === bytes[i]) && rest[0] === 0x59;
  const length = isDocument ? ((rest[1] ?? 0) << 8) + (rest[2] ?? 0) : 0;
  const payload = rest.subarray(3, 3 + length);
  if (payload.length !== length || (payload[0] ?? 0) >> 5 !== 5) return bytes;
  const open = Uint8Array.of(0xbf, ...payload.subarray(1), 0xff);
  return Uint8Array.of(...start, ...encode(open), ...rest.subarray(3 + length));
}

/** Everything that can be wrong with a document, in the library's words. */
const MESSAGES = [
  "a key is there twice",
  "cabundle is missing",
  "cabundle is not a byte string of 1 to 4096 bytes",
  "cabundle is not a list of 1 to 8 certificates",
  "certificate is missing",
  "certificate is not a byte string of 1 to 4096 bytes",
  "digest is missing",
  "digest is not SHA384",
  "it is nested too deeply",
  "longer than 16384 bytes",
  "module_id is missing",
  "module_id is not a text of 1 to 256 characters",
  "nonce is not a byte string of 0 to 4096 bytes",
  "not an untagged COSE_Sign1",
  "not one item of CBOR",
  "not signed by ES384",
  "payload is not a byte string of 1 to 16384 bytes",
  "pcrs has a register of a wrong length",
  "pcrs has an index that is not 0 to 31",
  "pcrs is missing",
  "pcrs is not a byte string of 1 to 4096 bytes",
  "pcrs is not a map of registers",
  "public_key is not a byte string of 0 to 4096 bytes",
  "signature is not a byte string of 96 to 96 bytes",
  "something is not in its shortest form",
  "the payload is not a map",
  "the protected header is not a byte string",
  "the unprotected header is not a map",
  "timestamp is missing",
  "timestamp is not a time in milliseconds since 1970",
  "user_data is not a byte string of 0 to 4096 bytes",
];

const DOCUMENT_HINTS = [
  "Is it the document's bytes, neither its base64 nor its hex, complete and unchanged?",
  "Is it the whole document, not its payload, and without a COSE tag?",
  "Is this an attestation document of a Nitro Enclave, complete and unchanged?",
  "Nitro Enclaves sign by ES384: is this document from something else?",
];

describe("decodeAttestationDocument()", () => {
  test("the good document of these tests is good", () => {
    const read = decodeAttestationDocument(document());
    assert.equal(read.moduleId, GOOD["module_id"]);
    assert.equal(read.timestamp, GOOD["timestamp"]);
    assert.equal(read.digest, "SHA384");
    assert.deepEqual([...read.pcrs.keys()], [0]);
  });

  for (const [what, [check, make]] of Object.entries(MALFORMED)) {
    test(`refuses ${what} as ${check}, in the form of today and in that before 2025`, () => {
      assert.throws(() => decodeAttestationDocument(make()), isOfCheck(check));
      assert.throws(() => decodeAttestationDocument(withOpenPayload(make())), isOfCheck(check));
    });
  }

  test("says what is wrong, and what to look at", () => {
    const messages = new Set<string>();
    const hints = new Set<string>();
    for (const [, make] of Object.values(MALFORMED)) {
      try {
        decodeAttestationDocument(make());
      } catch (error) {
        assert.ok(error instanceof AttestationError);
        messages.add(error.message.replace(/^Cannot read attestation document: /, ""));
        hints.add(error.hint);
      }
    }
    assert.deepEqual([...messages].sort(), MESSAGES);
    assert.deepEqual([...hints].sort(), DOCUMENT_HINTS);
  });

  test("accepts everything at its limit, and refuses it beyond", () => {
    const read = (changes: Fields) => decodeAttestationDocument(document(changes));
    const beyond = (changes: Fields) => assert.throws(() => read(changes), isOfCheck("FIELD"));
    assert.equal(read({ module_id: "m".repeat(256) }).moduleId.length, 256);
    beyond({ module_id: "m".repeat(257) });
    assert.equal(read({ timestamp: 1 }).timestamp, 1);
    // The last moment that a Date can be: what is beyond could not be shown to anybody.
    assert.equal(
      new Date(read({ timestamp: 8.64e15 }).timestamp).toISOString(),
      "+275760-09-13T00:00:00.000Z",
    );
    beyond({ timestamp: 8.64e15 + 1 });
    beyond({ timestamp: Number.MAX_SAFE_INTEGER });
    assert.equal(read({ certificate: new Uint8Array(4096) }).certificate.length, 4096);
    assert.equal(read({ certificate: new Uint8Array(1) }).certificate.length, 1);
    assert.equal(read({ user_data: new Uint8Array(4096) }).userData?.length, 4096);
    const eight = Array.from({ length: 8 }, () => Uint8Array.of(1));
    assert.deepEqual(read({ cabundle: eight }).cabundle, eight);
    const lengths = [32, 48, 64];
    const pcrs = new Map([...lengths, 32].map((length, i) => [[0, 1, 30, 31][i], new Uint8Array(length)]));
    assert.deepEqual(read({ pcrs }).pcrs, pcrs);
    for (const length of [0, 1, 31, 33, 49, 63, 65]) beyond({ pcrs: new Map([[0, new Uint8Array(length)]]) });
    beyond({ pcrs: new Map([[1, new Uint8Array(48)], [32, new Uint8Array(48)]]) });
  });

  test("reads documents of the longest length, and no longer ones", () => {
    const padded = (length: number) => {
      const part = (bytes: number) => new Uint8Array(bytes).fill(1);
      const cabundle = [part(4096), part(4096), part(length)];
      return document({ certificate: part(4096), cabundle });
    };
    const room = MAX_ATTESTATION_DOCUMENT_BYTES - padded(1000).length;
    assert.ok(room > 0);
    assert.equal(padded(1000 + room).length, MAX_ATTESTATION_DOCUMENT_BYTES);
    assert.equal(decodeAttestationDocument(padded(1000 + room)).cabundle[2]?.length, 1000 + room);
    assert.throws(() => decodeAttestationDocument(padded(1001 + room)), isOfCheck("TOO_LARGE"));
  });

  test("accepts absent fields as null and as missing", () => {
    for (const name of ["public_key", "user_data", "nonce"]) {
      for (const read of [decodeAttestationDocument(document()), decodeAttestationDocument(without(name))]) {
        assert.deepEqual([read.publicKey, read.userData, read.nonce], [undefined, undefined, undefined]);
      }
    }
  });

  test("accepts an empty nonce, which is not an absent one", () => {
    assert.equal(decodeAttestationDocument(document({ nonce: new Uint8Array() })).nonce?.length, 0);
  });

  test("keeps a copy: later changes to the input do not reach it", () => {
    const bytes = document({ nonce: Uint8Array.of(1, 2, 3) });
    const read = decodeAttestationDocument(bytes);
    bytes.fill(0);
    assert.deepEqual([...read.nonce ?? []], [1, 2, 3]);
    assert.deepEqual(read.protectedHeader, HEADER);
  });

  test("refuses what is not bytes with a TypeError", () => {
    for (const wrong of [undefined, null, "", [], new ArrayBuffer(8)]) {
      assert.throws(
        () => decodeAttestationDocument(wrong as unknown as Uint8Array),
        /^TypeError: Cannot read document: expected a Uint8Array$/,
      );
    }
  });

  test("throws nothing but AttestationError, whatever the bytes", () => {
    const attempt = (bytes: Uint8Array) => {
      try {
        decodeAttestationDocument(bytes);
      } catch (error) {
        assert.ok(error instanceof AttestationError, String(error));
      }
    };
    const good = document();
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), attempt), { numRuns: 500 });
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (index, byte) => attempt(good.with(index, byte))),
      { numRuns: 1000 },
    );
  });
});

describe.skipIf(!HAS_VECTORS)(`genuine documents${SKIPPED}`, () => {
  test("of a production enclave", () => {
    const read = decodeAttestationDocument(readVector("attestation-production.cbor"));
    assert.equal(read.moduleId, "i-020b6af9246d90e92-enc0183d09086c24190");
    assert.equal(new Date(read.timestamp).toISOString(), "2022-10-13T08:58:02.136Z");
    assert.deepEqual([...read.pcrs.keys()], Array.from({ length: 16 }, (_, i) => i));
    assert.deepEqual(read.cabundle.map(({ length }) => length), [533, 706, 792, 644]);
    assert.equal(read.publicKey, undefined);
    assert.equal(read.nonce?.length, 256);
    assert.deepEqual(read.cabundle[0], readVector("aws-nitro-enclaves-root-g1.der"));
    assert.deepEqual(read.unknownFields, []);
  });

  test("of an enclave of April 2026, in the form that AWS has written since the middle of 2025", () => {
    const read = decodeAttestationDocument(readVector("attestation-2026-04.cbor"));
    assert.deepEqual([read.payload[0], read.payload.at(-1)], [0xbf, 0xff]);
    assert.equal(read.moduleId, "i-09e89db804bda6da2-enc019db6ed966d042f");
    assert.equal(new Date(read.timestamp).toISOString(), "2026-04-22T20:47:56.189Z");
    assert.deepEqual([...read.pcrs.keys()], Array.from({ length: 16 }, (_, i) => i));
    assert.deepEqual(read.cabundle[0], readVector("aws-nitro-enclaves-root-g1.der"));
    assert.equal(read.publicKey, undefined);
    assert.deepEqual([read.nonce?.length, read.userData?.length], [32, 48]);
    assert.deepEqual(read.unknownFields, []);
  });

  test("of a debug-mode enclave", () => {
    const read = decodeAttestationDocument(readVector("attestation-debug.cbor"));
    assert.equal(new TextDecoder().decode(read.userData), "Automata MPC Demo");
    for (const index of [0, 1, 2]) assert.deepEqual(read.pcrs.get(index), new Uint8Array(48));
  });
});

/** Genuine documents of each form, and the fields that they have besides the nine. */
const FORMS = [
  { documentForm: "indefinite", genuine: "attestation-2026-04.cbor" },
  { documentForm: "definite", genuine: "attestation-production.cbor" },
] as const;

describe("simulated documents", () => {
  const [userData, nonce] = [new TextEncoder().encode("user data"), Uint8Array.of(1)];

  test("are in the form of today unless another is asked for", async () => {
    using nsm = await SoftwareNsm.create();
    assert.equal(decodeAttestationDocument(await nsm.attest()).payload[0], 0xbf);
    await assert.rejects(
      SoftwareNsm.create({ documentForm: "old" as "definite" }),
      /^TypeError: documentForm must be `indefinite` or `definite`$/,
    );
  });

  for (const { documentForm, genuine } of FORMS) {
    test(`are read back, in ${documentForm} form`, async () => {
      using nsm = await SoftwareNsm.create({ documentForm });
      const read = decodeAttestationDocument(await nsm.attest({ userData }));
      assert.deepEqual(read.userData, userData);
      assert.equal(read.pcrs.size, 16);
      assert.equal(read.cabundle.length, 4);
      assert.deepEqual(read.unknownFields, []);
    });

    test.skipIf(!HAS_VECTORS)(`have the shape of ${genuine}, item by item${SKIPPED}`, async () => {
      using nsm = await SoftwareNsm.create({ documentForm });
      const theirs = decodeAttestationDocument(readVector(genuine));
      // What the genuine one holds is asked for here.
      const ours = await nsm.attest({
        ...(theirs.userData === undefined ? {} : { userData }),
        ...(theirs.nonce === undefined ? {} : { nonce }),
      });
      assert.deepEqual(documentShape(ours), documentShape(readVector(genuine)));
    });
  }
});

function documentShape(bytes: Uint8Array): unknown {
  const [header, unprotected, payload, signature] = decode(bytes) as Cose;
  const fields = decode(payload, { preferMap: true }) as Map<string, unknown>;
  return {
    first: bytes[0],
    header: [...header],
    unprotected,
    isOpen: payload[0] === 0xbf,
    signature: signature.length,
    shapes: [...fields].map(([key, value]) => [key, shapeOf(key, value)]),
  };
}

/** The type of a CBOR item, and of what it holds. */
function shapeOf(key: string, value: unknown): unknown {
  if (value === null) return "null";
  if (value instanceof Uint8Array) return "bytes";
  if (value instanceof Map) return [...value].map(([index, pcr]) => [index, (pcr as Uint8Array).length]);
  if (Array.isArray(value)) return value.map((entry) => shapeOf(key, entry));
  // 8-byte integers: CBOR's length is part of the shape.
  return key === "timestamp" ? encode(value).length : typeof value;
}
