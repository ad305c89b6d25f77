import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { decode, encode } from "cbor2";
import { beforeAll, describe, test } from "#test";
import { parseCertificate } from "../../../lib/attestation/certificate.ts";
import { decodeAttestationDocument } from "../../../lib/attestation/document.ts";
import {
  AWS_NITRO_ROOT_SHA256,
  CLOCK_TOLERANCE_MS,
  verifyAttestation,
  type VerifyAttestationOptions,
} from "../../../lib/attestation/verify.ts";
import { decodeHex, encodeHex } from "../../../lib/core/encoding.ts";
import { SoftwareNsm } from "../../../sim/nsm/nsm.ts";
import { assertFails } from "./assert_fails.ts";
import { HAS_VECTORS, readVector, SKIPPED } from "./vectors.ts";

const HOUR_MS = 3_600_000;
const NOW = Date.UTC(2026, 10, 21);
/** The order of P-384 (FIPS 186-4, D.1.2.4). */
const P384_ORDER =
  0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n;
const NONCE = new TextEncoder().encode("nonce");

describe.skipIf(!HAS_VECTORS)(`verifyAttestation() of genuine documents${SKIPPED}`, () => {
  const production = () => readVector("attestation-production.cbor");
  const debug = () => readVector("attestation-debug.cbor");
  const itsTime = (document: Uint8Array) => decodeAttestationDocument(document).timestamp;

  test("accepts a production enclave's at its own time, under AWS's root", async () => {
    const document = production();
    const verified = await verifyAttestation(document, { at: itsTime(document) });
    assert.equal(verified.moduleId, "i-020b6af9246d90e92-enc0183d09086c24190");
  });

  test("accepts one of April 2026, in the form of today, with what is in it", async () => {
    const document = readVector("attestation-2026-04.cbor");
    const { nonce, userData, pcrs, timestamp: at } = decodeAttestationDocument(document);
    const expected = { at, nonce, userData, pcrs: { 0: pcrs.get(0)!, 4: encodeHex(pcrs.get(4)!) } };
    const verified = await verifyAttestation(document, { ...expected, maxAgeMs: 0 });
    assert.equal(verified.moduleId, "i-09e89db804bda6da2-enc019db6ed966d042f");
    await assertFails("EXPIRED", verifyAttestation(document, { ...expected, at: undefined }));
    await assertFails("PCR", verifyAttestation(document, { at, pcrs: { 0: pcrs.get(1)! } }));
    await assertFails("USER_DATA", verifyAttestation(document, { at, userData: nonce }));
  });

  test("accepts AWS's root given as DER, and pins its fingerprint", async () => {
    const root = readVector("aws-nitro-enclaves-root-g1.der");
    assert.equal(createHash("sha256").update(root).digest("hex"), AWS_NITRO_ROOT_SHA256);
    const document = production();
    await verifyAttestation(document, { at: itsTime(document), root });
  });

  test("refuses it today, and before its time", async () => {
    const document = production();
    await assertFails("EXPIRED", verifyAttestation(document));
    await assertFails("NOT_YET_VALID", verifyAttestation(document, { at: itsTime(document) - HOUR_MS }));
  });

  test("checks its nonce and its PCRs", async () => {
    const document = production();
    const { nonce, pcrs } = decodeAttestationDocument(document);
    const at = itsTime(document);
    assert.ok(nonce);
    const pcr0 = encodeHex(pcrs.get(0) ?? new Uint8Array());
    await verifyAttestation(document, { at, nonce, pcrs: { 0: pcr0.toUpperCase(), 5: "00".repeat(48) } });
    await assertFails("NONCE", verifyAttestation(document, { at, nonce: nonce.slice(1) }));
    await assertFails("PCR", verifyAttestation(document, { at, pcrs: { 0: "00".repeat(48) } }));
  });

  test("refuses a debug-mode enclave's unless that is allowed", async () => {
    const document = debug();
    const at = itsTime(document);
    await assertFails("DEBUG", verifyAttestation(document, { at }));
    await verifyAttestation(document, { at, allowDebug: true });
  });

  test("says that a root in PEM is PEM", async () => {
    const pem = `root:\n-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n`;
    for (const root of [pem, new TextEncoder().encode(pem)]) {
      await assert.rejects(verifyAttestation(new Uint8Array(1), { root: root as Uint8Array }), {
        name: "TypeError",
        message: /^root must be DER, and this is PEM/,
      });
    }
  });

  test("refuses it under another root", async () => {
    const document = production();
    const root = readVector("aws-nitro-enclaves-root-g1.der");
    const other = root.with(-1, (root.at(-1) ?? 0) ^ 1);
    await assertFails("ROOT", verifyAttestation(document, { at: itsTime(document), root: other }));
  });
});

for (const documentForm of ["indefinite", "definite"] as const) {
  describe(`verifyAttestation() of simulated documents in ${documentForm} form`, () => {
    let nsm: SoftwareNsm;
    let document: Uint8Array<ArrayBuffer>;
    let options: VerifyAttestationOptions;

    beforeAll(async () => {
      nsm = await SoftwareNsm.create({ now: () => NOW, documentForm });
      document = await nsm.attest({ nonce: NONCE });
      options = { root: nsm.root, at: NOW };
    });

    test("accepts a good one under its own root only", async () => {
      const { timestamp } = await verifyAttestation(document, options);
      assert.equal(timestamp, NOW);
      await assertFails("ROOT", verifyAttestation(document, { at: NOW }));
    });

    test("accepts the nonce and PCRs that are in it", async () => {
      const pcrs = { 0: nsm.pcr(0), 4: decodeHex(nsm.pcr(4)) };
      await verifyAttestation(document, { ...options, nonce: NONCE, pcrs });
    });

    test("refuses another nonce, and a document without one", async () => {
      await assertFails("NONCE", verifyAttestation(document, { ...options, nonce: new Uint8Array(1) }));
      const without = await nsm.attest();
      await assertFails("NONCE", verifyAttestation(without, { ...options, nonce: NONCE }));
    });

    test("refuses another PCR, and one that is not in the document", async () => {
      await assertFails("PCR", verifyAttestation(document, { ...options, pcrs: { 1: nsm.pcr(0) } }));
      await assertFails("PCR", verifyAttestation(document, { ...options, pcrs: { 16: nsm.pcr(16) } }));
    });

    test("knows the module's faults by their own codes", async () => {
      const codes = { wrongKey: "SIGNATURE", expiredLeaf: "EXPIRED", debug: "DEBUG" } as const;
      for (const [kind, code] of Object.entries(codes) as [keyof typeof codes, string][]) {
        using _fault = nsm.injectFault({ kind });
        await assertFails(code, verifyAttestation(await nsm.attest(), options));
      }
    });

    test("accepts the whole life of the certificate, to the second", async () => {
      let now = NOW;
      using own = await SoftwareNsm.create({ now: () => now, documentForm });
      const { notBefore, notAfter } = parseCertificate(
        decodeAttestationDocument(await own.attest()).certificate,
      );
      now = notBefore + HOUR_MS + 1000; // the same certificate, and a document from its first second
      const { root } = own;
      using _stale = own.injectFault({ kind: "stale" });
      const early = await own.attest();
      for (const at of [notBefore, notAfter]) await verifyAttestation(early, { root, at });
      await assertFails("NOT_YET_VALID", verifyAttestation(early, { root, at: notBefore - 1 }));
      await assertFails("EXPIRED", verifyAttestation(early, { root, at: notAfter + 1 }));
    });

    test("refuses documents from the future, beyond five minutes of tolerance", async () => {
      await verifyAttestation(document, { ...options, at: NOW - CLOCK_TOLERANCE_MS });
      await assertFails(
        "FUTURE",
        verifyAttestation(document, { ...options, at: NOW - CLOCK_TOLERANCE_MS - 1 }),
      );
      assert.equal(CLOCK_TOLERANCE_MS, 5 * 60_000);
    });

    test("refuses documents older than maxAgeMs, to the millisecond", async () => {
      await verifyAttestation(document, { ...options, at: NOW + 1000, maxAgeMs: 1000 });
      await verifyAttestation(document, { ...options, at: NOW, maxAgeMs: 0 });
      await verifyAttestation(document, { ...options, at: NOW - 1000, maxAgeMs: 0 });
      await assertFails("STALE", verifyAttestation(document, { ...options, at: NOW + 1001, maxAgeMs: 1000 }));
      using _fault = nsm.injectFault({ kind: "stale" });
      await assertFails(
        "STALE",
        verifyAttestation(await nsm.attest(), { ...options, maxAgeMs: HOUR_MS - 1 }),
      );
    });

    test("checks user data and public key, which are not each other's", async () => {
      const [publicKey, userData] = [Uint8Array.of(1, 2, 3), Uint8Array.of(4)];
      const both = await nsm.attest({ publicKey, userData });
      await verifyAttestation(both, { ...options, publicKey, userData });
      await assertFails("PUBLIC_KEY", verifyAttestation(both, { ...options, publicKey: userData }));
      await assertFails("USER_DATA", verifyAttestation(both, { ...options, userData: publicKey }));
      await assertFails("PUBLIC_KEY", verifyAttestation(document, { ...options, publicKey }));
      await assertFails("USER_DATA", verifyAttestation(document, { ...options, userData }));
    });

    test("takes registers 0 to 31, of 32, 48 and 64 bytes, for what may be asked of", async () => {
      for (const index of [0, 9, 10, 19, 20, 29, 30, 31]) {
        for (const length of [32, 48, 64]) {
          const pcrs = { [index]: "0F".repeat(length) };
          await assertFails("PCR", verifyAttestation(document, { ...options, pcrs }));
        }
      }
    });

    test("tells a part that is missing from another one", async () => {
      const of = (part: string) => Uint8Array.from(part, (character) => character.charCodeAt(0));
      const some = await nsm.attest({ nonce: of("n"), userData: of("u"), publicKey: of("p") });
      const none = await nsm.attest();
      const parts = { nonce: "nonce", userData: "user data", publicKey: "public key" };
      for (const [part, name] of Object.entries(parts)) {
        const given = { ...options, [part]: of("x") };
        await assert.rejects(verifyAttestation(some, given), new RegExp(`: it holds another ${name}$`));
        await assert.rejects(verifyAttestation(none, given), new RegExp(`: it holds no ${name}$`));
      }
    });

    test("accepts one of several values of a PCR, in all of the PCRs given", async () => {
      const other = "00".repeat(48);
      const pcrs = { 0: [other, nsm.pcr(0)], 1: [decodeHex(nsm.pcr(1)), other] };
      await verifyAttestation(document, { ...options, pcrs });
      await assertFails("PCR", verifyAttestation(document, { ...options, pcrs: { ...pcrs, 1: [other] } }));
    });

    test("fails on the first of several reasons, in the documented order", async () => {
      using _fault = nsm.injectFault({ kind: "debug" });
      const debug = await nsm.attest();
      const all = { nonce: NONCE, userData: NONCE, publicKey: NONCE, pcrs: { 0: nsm.pcr(0) } };
      const steps: [string, VerifyAttestationOptions][] = [
        ["ROOT", { ...all, at: 0, root: nsm.root.with(-1, nsm.root.at(-1)! ^ 1) }],
        ["NOT_YET_VALID", { ...all, at: 0 }],
        ["EXPIRED", { ...all, at: NOW * 2 }],
        ["FUTURE", { ...all, at: NOW - HOUR_MS / 2 }],
        ["STALE", { ...all, at: NOW + 1, maxAgeMs: 0 }],
        ["DEBUG", all],
        ["NONCE", { ...all, allowDebug: true }],
        ["USER_DATA", { ...all, allowDebug: true, nonce: undefined }],
        ["PUBLIC_KEY", { publicKey: NONCE, pcrs: all.pcrs, allowDebug: true }],
        ["PCR", { pcrs: all.pcrs, allowDebug: true }],
      ];
      for (const [code, given] of steps) {
        await assertFails(code, verifyAttestation(debug, { ...options, ...given }));
      }
    });

    test("refuses a document put together from two", async () => {
      const other = await nsm.attest({ nonce: new TextEncoder().encode("other") });
      const parts = decode(document) as unknown[];
      const mixed = encode([...parts.slice(0, 3), (decode(other) as unknown[])[3]]);
      await assertFails("SIGNATURE", verifyAttestation(mixed, options));
    });

    test("accepts what is not signed in another way: nothing that it returns is changed by that", async () => {
      const { signature: _, ...expected } = await verifyAttestation(document, options);
      const [header, unprotected, payload, signature] = decode<
        [Uint8Array, Map<unknown, unknown>, Uint8Array, Uint8Array]
      >(document, { preferMap: true });
      assert.equal(unprotected.size, 0);
      // The twin of an ECDSA signature (r, s) is (r, n - s): anybody who has one can make the other.
      const s = BigInt(`0x${encodeHex(signature.subarray(48))}`);
      const twin = Uint8Array.of(
        ...signature.subarray(0, 48),
        ...decodeHex((P384_ORDER - s).toString(16).padStart(96, "0")),
      );
      const { signature: theirs, ...read } = await verifyAttestation(
        encode([header, {}, payload, twin]),
        options,
      );
      assert.deepEqual(theirs, twin);
      assert.deepEqual(read, expected);
      const added = encode([header, new Map([[4, new Uint8Array(2)]]), payload, signature]);
      const { unknownFields, signature: __, ...rest } = await verifyAttestation(added, options);
      assert.deepEqual({ ...rest, unknownFields: [] }, expected);
      assert.deepEqual(unknownFields, ["unprotected 4"]);
    });

    test("refuses a payload in the other form, though it says the same", async () => {
      const [header, unprotected, payload, signature] = decode<[Uint8Array, unknown, Uint8Array, Uint8Array]>(
        document,
      );
      const other = documentForm === "definite"
        ? Uint8Array.of(0xbf, ...payload.subarray(1), 0xff)
        : Uint8Array.of(0xa9, ...payload.subarray(1, -1));
      await assertFails(
        "SIGNATURE",
        verifyAttestation(encode([header, unprotected, other, signature]), options),
      );
    });

    test("refuses a signature of zeros", async () => {
      const parts = decode(document) as unknown[];
      const zeros = encode([...parts.slice(0, 3), new Uint8Array(96)]);
      await assertFails("SIGNATURE", verifyAttestation(zeros, options));
    });

    test("refuses arguments of a wrong type with a TypeError that names them", async () => {
      const wrong: readonly (readonly [RegExp, unknown])[] = [
        [/^root must be a Uint8Array$/, { root: "x" }],
        [/^nonce must be a Uint8Array$/, { nonce: "x" }],
        [/^at must be a number of milliseconds$/, { at: "now" }],
        [/^at must be a number of milliseconds$/, { at: NaN }],
        ...["32", "99", "100", "-1", "x", "01", "1x", "x1", ""].map((index) =>
          [/^pcrs must have no index that is not 0 to 31$/, { pcrs: { [index]: "00".repeat(48) } }] as const
        ),
        [/^pcrs\[0\] must be 32, 48 or 64 bytes, or their hex$/, { pcrs: { 0: "zz" } }],
        ...[0, 31, 33, 47, 49, 63, 65].flatMap((length) =>
          [new Uint8Array(length), "0a".repeat(length)].map((value) =>
            [/^pcrs\[7\] must be 32, 48 or 64 bytes, or their hex$/, { pcrs: { 7: value } }] as const
          )
        ),
        ...["a", "z".repeat(64), "z".repeat(96), "z".repeat(128)].map((value) =>
          [/^pcrs\[0\] must be 32/, { pcrs: { 0: value } }] as const
        ),
        [/^pcrs\[0\] must be 32/, { pcrs: { 0: `x${"00".repeat(48)}` } }],
        [/^pcrs\[0\] must be 32/, { pcrs: { 0: `${"00".repeat(48)}\n` } }],
        [/^pcrs\[0\] must have a value$/, { pcrs: { 0: [] } }],
        [/^pcrs\[0\] must be 32/, { pcrs: { 0: ["00".repeat(48), null] } }],
        [/^pcrs must be a plain object or a Map$/, { pcrs: null }],
        [/^pcrs must be a plain object or a Map$/, { pcrs: "x" }],
        [/^userData must be a Uint8Array$/, { userData: "x" }],
        [/^publicKey must be a Uint8Array$/, { publicKey: null }],
        [/^maxAgeMs must be a number$/, { maxAgeMs: "1" }],
        [/^allowDebug must be a boolean$/, { allowDebug: 1 }],
        [/options of verifyAttestation have no field `pcr`/, { pcr: { 0: "00".repeat(48) } }],
      ];
      for (const [message, given] of wrong) {
        const work = verifyAttestation(document, { ...options, ...given as VerifyAttestationOptions });
        await assert.rejects(
          work,
          (error: unknown) => error instanceof TypeError && message.test(error.message),
        );
      }
      for (const maxAgeMs of [-1, 1.5, NaN, Infinity]) {
        await assert.rejects(verifyAttestation(document, { ...options, maxAgeMs }), RangeError);
      }
    });
  });
}
