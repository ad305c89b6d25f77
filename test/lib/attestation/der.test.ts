import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import fc from "fast-check";
import { beforeAll, describe, test } from "#test";
import { parseCertificate } from "../../../lib/attestation/certificate.ts";
import { DerReader, TAG } from "../../../lib/attestation/der.ts";
import { decodeAttestationDocument } from "../../../lib/attestation/document.ts";
import { AttestationError } from "../../../lib/core/errors.ts";
import { element, integer, octetString, sequence, time } from "../../../sim/tls/der.ts";
import { issueCertificate } from "../../../sim/tls/certificates.ts";
import { DOCUMENT_VECTORS, HAS_VECTORS, readVector, SKIPPED } from "./vectors.ts";

function reader(...bytes: number[]): DerReader {
  return new DerReader(Uint8Array.from(bytes));
}

function isCertificateError(error: unknown): boolean {
  return error instanceof AttestationError && error.code === "ERR_ATTESTATION_CERTIFICATE";
}

describe("DerReader", () => {
  test("reads what the writer writes, at every form of length", () => {
    for (const length of [0, 1, 127, 128, 255, 256, 4000, 65_535]) {
      const content = new Uint8Array(length).fill(7);
      const outer = new DerReader(sequence(octetString(content)));
      if (length > 65_000) assert.throws(() => outer.enter(TAG.sequence), isCertificateError);
      else assert.deepEqual(outer.enter(TAG.sequence).contents(TAG.octetString), content);
    }
  });

  test("element() keeps tag and length, contents() does not", () => {
    const bytes = octetString(Uint8Array.of(1, 2));
    assert.deepEqual(new DerReader(bytes).element(TAG.octetString), bytes);
    assert.deepEqual(new DerReader(bytes).contents(TAG.octetString), Uint8Array.of(1, 2));
  });

  /** Messages of {@link refusals}, in their order. */
  const WORDS = [
    ...["an unexpected tag", "an unexpected tag", "a length is missing", "an element is cut off"],
    ...["an element is cut off", "a length is indefinite or too long", "a length is indefinite or too long"],
    ...["a length is not in its shortest form", "a length is not in its shortest form"],
    ...["there is something left over", "a BOOLEAN is neither 0 nor 255", "a BOOLEAN is neither 0 nor 255"],
    ...[
      "a BOOLEAN is neither 0 nor 255",
      "an INTEGER is empty or negative",
      "an INTEGER is empty or negative",
    ],
    ...["an INTEGER is not in its shortest form", "a BIT STRING is not made of whole bytes"],
    "a BIT STRING is not made of whole bytes",
  ];
  const refusals: Readonly<Record<string, () => unknown>> = {
    "nothing": () => reader().contents(TAG.integer),
    "another tag": () => reader(0x04, 0).contents(TAG.integer),
    "a missing length": () => reader(0x04).contents(TAG.octetString),
    "a cut content": () => reader(0x04, 2, 1).contents(TAG.octetString),
    "a cut length": () => reader(0x04, 0x82, 1).contents(TAG.octetString),
    "an indefinite length": () => reader(0x30, 0x80, 0, 0).contents(TAG.sequence),
    "a length of three bytes": () => reader(0x04, 0x83, 0, 0, 1, 1).contents(TAG.octetString),
    "a long form of a short length": () => reader(0x04, 0x81, 1, 1).contents(TAG.octetString),
    "two bytes where one suffices": () => reader(0x04, 0x82, 0, 0x80).contents(TAG.octetString),
    "something left over": () => reader(1).finish(),
    "a BOOLEAN of 1": () => reader(0x01, 1, 1).boolean(),
    "a BOOLEAN of two bytes": () => reader(0x01, 2, 0xff, 0xff).boolean(),
    "an empty BOOLEAN": () => reader(0x01, 0).boolean(),
    "a negative INTEGER": () => reader(0x02, 1, 0x80).unsignedInteger(),
    "an empty INTEGER": () => reader(0x02, 0).unsignedInteger(),
    "an INTEGER with a zero too many": () => reader(0x02, 2, 0, 1).unsignedInteger(),
    "a BIT STRING with unused bits": () => reader(0x03, 2, 1, 0).wholeBytes(),
    "an empty BIT STRING": () => reader(0x03, 0).wholeBytes(),
  };
  for (const [index, [what, read]] of Object.entries(refusals).entries()) {
    test(`refuses ${what}`, () => {
      assert.throws(read, isCertificateError);
      assert.throws(read, {
        message: `Cannot read certificate: ${WORDS[index]}`,
        hint: "Is this an attestation document of a Nitro Enclave, complete and unchanged?",
      });
    });
  }

  test("reads both values of BOOLEAN, and knows when it is done", () => {
    const both = reader(0x01, 1, 0, 0x01, 1, 0xff);
    assert.deepEqual([both.boolean(), both.done, both.boolean(), both.done], [false, false, true, true]);
    both.finish();
  });

  test("reads a BIT STRING of whole bytes without the count of unused bits", () => {
    assert.deepEqual(reader(0x03, 3, 0, 7, 8).wholeBytes(), Uint8Array.of(7, 8));
  });

  test("reads INTEGERs without their sign byte", () => {
    for (const bytes of [[0], [1], [0x7f], [0x80], [0xff, 0], [1, 0, 0]]) {
      const value = Uint8Array.from(bytes);
      assert.deepEqual(new DerReader(integer(value)).unsignedInteger(), value);
    }
  });
});

describe("parseCertificate()", () => {
  const NAME = [["CN", "test"]] as const;
  const NOT_BEFORE = Date.UTC(2049, 11, 31, 23, 59, 59);
  const NOT_AFTER = Date.UTC(2050, 0, 1);
  let der: Uint8Array<ArrayBuffer>;

  beforeAll(async () => {
    const request = {
      subject: NAME,
      curve: "P-384",
      notBefore: NOT_BEFORE,
      notAfter: NOT_AFTER,
      pathLength: 3,
    } as const;
    der = (await issueCertificate(request)).certificate;
  });

  test("reads both forms of time, on either side of 2050", () => {
    assert.equal(time(NOT_BEFORE)[0], TAG.utcTime);
    assert.equal(time(NOT_AFTER)[0], TAG.generalizedTime);
    const { notBefore, notAfter, extensions } = parseCertificate(der);
    assert.deepEqual([notBefore, notAfter], [NOT_BEFORE, NOT_AFTER]);
    assert.deepEqual([extensions.ca, extensions.pathLength], [true, 3]);
  });

  test("refuses times that do not exist or are written otherwise", () => {
    const original = new TextDecoder("latin1").decode(time(NOT_BEFORE));
    for (
      const wrong of [
        "491331235959Z",
        "490230235959Z",
        "491231245959Z",
        "491231235960Z",
        "4912312359591",
        "49123123595+Z",
      ]
    ) {
      const text = new TextDecoder("latin1").decode(der).replace(original.slice(2), wrong);
      assert.throws(
        () => parseCertificate(Uint8Array.from(text, (char) => char.charCodeAt(0))),
        isCertificateError,
        wrong,
      );
    }
  });

  test("throws nothing but AttestationError, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.nat(255), (index, byte) => {
        try {
          parseCertificate(der.with(index, byte));
        } catch (error) {
          assert.ok(isCertificateError(error), String(error));
        }
      }),
      { numRuns: 1000 },
    );
    assert.throws(() => parseCertificate(element(0x30)), isCertificateError);
  });

  test.skipIf(!HAS_VECTORS)(`agrees with the runtime's own reader on genuine certificates${SKIPPED}`, () => {
    for (const name of DOCUMENT_VECTORS) {
      const { cabundle, certificate } = decodeAttestationDocument(readVector(name));
      for (const bytes of [...cabundle, certificate]) {
        const oracle = new X509Certificate(bytes);
        const { notBefore, notAfter, publicKey, extensions } = parseCertificate(bytes);
        assert.equal(notBefore, Date.parse(oracle.validFrom));
        assert.equal(notAfter, Date.parse(oracle.validTo));
        assert.equal(extensions.ca, oracle.ca);
        assert.deepEqual(publicKey, new Uint8Array(oracle.publicKey.export({ type: "spki", format: "der" })));
      }
    }
  });
});
