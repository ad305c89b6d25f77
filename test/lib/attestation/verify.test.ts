import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { decode, encode } from "cbor2";
import { beforeAll, describe, test } from "#test";
import { parseCertificate } from "../../../lib/attestation/certificate.ts";
import { decodeAttestationDocument } from "../../../lib/attestation/document.ts";
import {
  AWS_ROOT_SHA256,
  verifyAttestation,
  type VerifyAttestationOptions,
} from "../../../lib/attestation/verify.ts";
import { decodeHex, encodeHex } from "../../../lib/encoding.ts";
import { AttestationError } from "../../../lib/errors.ts";
import { SoftwareNsm } from "../../../sim/nsm.ts";
import { assertFails } from "./assert_fails.ts";
import { HAS_VECTORS, readVector, SKIPPED } from "./vectors.ts";

const HOUR_MS = 3_600_000;
const NOW = Date.UTC(2026, 10, 21);
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

  test("accepts AWS's root given as DER, and pins its fingerprint", async () => {
    const root = readVector("aws-nitro-enclaves-root-g1.der");
    assert.equal(createHash("sha256").update(root).digest("hex"), AWS_ROOT_SHA256);
    const document = production();
    await verifyAttestation(document, { at: itsTime(document), root });
  });

  test("refuses it today, and before its time", async () => {
    const document = production();
    await assertFails("EXPIRED", verifyAttestation(document));
    await assertFails("EXPIRED", verifyAttestation(document, { at: itsTime(document) - HOUR_MS }));
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

  test("refuses it under another root", async () => {
    const document = production();
    const root = readVector("aws-nitro-enclaves-root-g1.der");
    const other = root.with(-1, (root.at(-1) ?? 0) ^ 1);
    await assertFails("CHAIN", verifyAttestation(document, { at: itsTime(document), root: other }));
  });

  test("refuses it with any one bit changed (a sample; all positions were tried once)", async () => {
    const document = production();
    await assertNoFlipPasses(document, { at: itsTime(document) });
  });
});

describe("verifyAttestation() of simulated documents", () => {
  let nsm: SoftwareNsm;
  let document: Uint8Array<ArrayBuffer>;
  let options: VerifyAttestationOptions;

  beforeAll(async () => {
    nsm = await SoftwareNsm.create({ now: () => NOW });
    document = await nsm.attest({ nonce: NONCE });
    options = { root: nsm.root, at: NOW };
  });

  test("accepts a good one under its own root only", async () => {
    const { timestamp } = await verifyAttestation(document, options);
    assert.equal(timestamp, NOW);
    await assertFails("CHAIN", verifyAttestation(document, { at: NOW }));
  });

  test("accepts the nonce and PCRs that are in it", async () => {
    const pcrs = { 0: nsm.pcr(0), 4: decodeHex(nsm.pcr(4)) };
    await verifyAttestation(document, { ...options, nonce: NONCE, pcrs });
  });

  test("refuses another nonce, and a document without one", async () => {
    await assertFails("NONCE", verifyAttestation(document, { ...options, nonce: new Uint8Array() }));
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
    const { notBefore, notAfter } = parseCertificate(decodeAttestationDocument(document).certificate);
    for (const at of [notBefore, notAfter]) await verifyAttestation(document, { ...options, at });
    for (const at of [notBefore - 1, notAfter + 1]) {
      await assertFails("EXPIRED", verifyAttestation(document, { ...options, at }));
    }
  });

  test("refuses a document put together from two", async () => {
    const other = await nsm.attest({ nonce: new TextEncoder().encode("other") });
    const parts = decode(document) as unknown[];
    const mixed = encode([...parts.slice(0, 3), (decode(other) as unknown[])[3]]);
    await assertFails("SIGNATURE", verifyAttestation(mixed, options));
  });

  test("refuses a signature of zeros", async () => {
    const parts = decode(document) as unknown[];
    const zeros = encode([...parts.slice(0, 3), new Uint8Array(96)]);
    await assertFails("SIGNATURE", verifyAttestation(zeros, options));
  });

  test("refuses it with any one bit changed (a sample; all positions were tried once)", async () => {
    await assertNoFlipPasses(document, options);
  });

  test("refuses arguments of a wrong type with a TypeError that names them", async () => {
    const wrong: readonly (readonly [RegExp, unknown])[] = [
      [/root/, { root: "x" }],
      [/nonce/, { nonce: "x" }],
      [/at/, { at: "now" }],
      [/at/, { at: NaN }],
      [/pcrs/, { pcrs: { 32: "00".repeat(48) } }],
      [/pcrs/, { pcrs: { x: "00".repeat(48) } }],
      [/pcrs\[0\]/, { pcrs: { 0: "zz" } }],
      [/pcrs\[0\]/, { pcrs: { 0: new Uint8Array(47) } }],
    ];
    for (const [message, given] of wrong) {
      const work = verifyAttestation(document, { ...options, ...given as VerifyAttestationOptions });
      await assert.rejects(
        work,
        (error: unknown) => error instanceof TypeError && message.test(error.message),
      );
    }
  });
});

/** Flips one bit in each of some 150 bytes spread over the document. */
async function assertNoFlipPasses(document: Uint8Array, options: VerifyAttestationOptions): Promise<void> {
  for (let index = 0; index < document.length; index += 29) {
    const flipped = document.with(index, (document[index] ?? 0) ^ (1 << index % 8));
    await assert.rejects(
      verifyAttestation(flipped, options),
      AttestationError,
      `bit ${index % 8} of byte ${index}`,
    );
  }
}
