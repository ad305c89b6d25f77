import assert from "node:assert/strict";
import { parseCertificate } from "../../../lib/attestation/certificate.ts";
import { decodeAttestationDocument } from "../../../lib/attestation/mod.ts";
import { AttestationError } from "../../../lib/core/errors.ts";
import { changesBetween, NEAR_END_MS, stateOf } from "../../../cli/attestation/watch_enclave.ts";
import { SoftwareNsm } from "../../../sim/mod.ts";
import { describe, test } from "#test";

describe("the watch of an enclave", () => {
  test("tells everything first, then differences alone", () => {
    const first = { verdict: "verified", facts: { boot: "a", PCR0: "00aa" } };
    assert.deepEqual(changesBetween(undefined, first), ["verified", "boot a", "PCR0 00aa"]);
    assert.deepEqual(changesBetween(first, first), []);
    assert.deepEqual(changesBetween(first, { verdict: "verified", facts: { boot: "b", PCR0: "00aa" } }), [
      "boot b, was a",
    ]);
    assert.deepEqual(changesBetween(first, { verdict: "verified", facts: { boot: "a", PCR16: "11" } }), [
      "PCR0 is zero, was 00aa",
      "PCR16 11",
    ]);
  });

  test("keeps the facts of the last verified answer through a failure", async () => {
    using nsm = await SoftwareNsm.create();
    const document = decodeAttestationDocument(await nsm.attest());
    const good = stateOf({ failure: undefined, document, readAs: "", bootId: "a" }, undefined, Date.now());
    assert.equal(good.facts?.["PCR0"], nsm.pcr(0));
    const failure = new AttestationError("PCR", "no", { hint: "no" });
    // Of an answer that failed nothing is believed.
    const bad = stateOf({ failure, document, readAs: "", bootId: "b" }, good, Date.now());
    assert.deepEqual(changesBetween(good, bad), ["NOT verified: PCR"]);
    const again = stateOf({ failure: undefined, document, readAs: "", bootId: "c" }, bad, Date.now());
    assert.deepEqual(changesBetween(bad, again), ["verified", "boot c, was a"]);
  });

  test("tells of a certificate that ends soon, and of its renewal", async () => {
    using nsm = await SoftwareNsm.create();
    const document = decodeAttestationDocument(await nsm.attest());
    const ends = [document.certificate, ...document.cabundle].map((der) => parseCertificate(der).notAfter);
    const end = Math.min(...ends);
    const at = (now: number) =>
      stateOf({ failure: undefined, document, readAs: "", bootId: "a" }, undefined, now);
    const [early, late] = [at(end - NEAR_END_MS), at(end - NEAR_END_MS + 1)];
    const iso = new Date(end).toISOString();
    assert.deepEqual(changesBetween(early, late), [`certificate ends at ${iso}`]);
    assert.deepEqual(changesBetween(late, early), [`certificate was renewed, was ends at ${iso}`]);
  });
});
