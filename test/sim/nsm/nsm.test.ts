import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { decode } from "cbor2";
import { beforeAll, describe, test } from "#test";
import { decodeAttestationDocument } from "../../../lib/attestation/document.ts";
import { NsmClient } from "../../../lib/nsm/nsm_client.ts";
import { verifyAttestation } from "../../../lib/attestation/verify.ts";
import { encodeHex } from "../../../lib/core/encoding.ts";
import { AttestationError, DisposedError } from "../../../lib/core/errors.ts";
import { pem } from "../../../sim/tls/certificates.ts";
import { SoftwareNsm } from "../../../sim/nsm/nsm.ts";
import { NSM_FAULTS } from "../../../sim/nsm/nsm_faults.ts";
import { ask } from "../kms/ask.ts";
import { HAS_OPENSSL, NO_OPENSSL, openssl } from "../tls/openssl.ts";

const ZEROS = "00".repeat(48);

describe("SoftwareNsm", () => {
  let nsm: SoftwareNsm;

  beforeAll(async () => {
    nsm = await SoftwareNsm.create();
  });

  test("describes itself as a real module does", async () => {
    assert.deepEqual(await ask(nsm, "DescribeNSM"), {
      DescribeNSM: {
        version_major: 1,
        version_minor: 0,
        version_patch: 0,
        module_id: nsm.moduleId,
        max_pcrs: 32,
        locked_pcrs: Array.from({ length: 16 }, (_, i) => i),
        digest: "SHA384",
      },
    });
    assert.match(nsm.moduleId, /^i-[0-9a-f]{17}-enc[0-9a-f]{16}$/);
  });

  test("measures an image: PCR0 to PCR4 are set and locked, the others are not", async () => {
    for (const index of [0, 1, 2, 3, 4]) assert.notEqual(nsm.pcr(index), ZEROS);
    for (const index of [5, 15, 16, 31]) assert.equal(nsm.pcr(index), ZEROS);
    const { DescribePCR } = await ask(nsm, { DescribePCR: { index: 0 } }) as {
      DescribePCR: { lock: boolean; data: Uint8Array };
    };
    assert.equal(DescribePCR.lock, true);
    assert.equal(encodeHex(DescribePCR.data), nsm.pcr(0));
  });

  test("gives 256 fresh random bytes", async () => {
    const random = async () =>
      (await ask(nsm, "GetRandom") as { GetRandom: { random: Uint8Array } }).GetRandom.random;
    const [one, other] = [await random(), await random()];
    assert.equal(one.length, 256);
    assert.notDeepEqual(one, other);
  });

  test("extends a register, locks it, and has it in later documents", async () => {
    using own = await SoftwareNsm.create();
    const data = new TextEncoder().encode("data");
    const expected = createHash("sha384").update(new Uint8Array(48)).update(data).digest("hex");
    const { ExtendPCR } = await ask(own, { ExtendPCR: { index: 16, data } }) as {
      ExtendPCR: { data: Uint8Array };
    };
    assert.equal(encodeHex(ExtendPCR.data), expected);
    assert.equal(decodeAttestationDocument(await own.attest()).pcrs.has(16), false);
    assert.equal(await ask(own, { LockPCR: { index: 16 } }), "LockPCR");
    assert.equal(encodeHex(decodeAttestationDocument(await own.attest()).pcrs.get(16) ?? data), expected);
    assert.deepEqual(await ask(own, { ExtendPCR: { index: 16, data } }), { Error: "ReadOnlyIndex" });
    assert.equal(await ask(own, { LockPCRs: { range: 20 } }), "LockPCRs");
    assert.equal(decodeAttestationDocument(await own.attest()).pcrs.size, 20);
  });

  const refusals: readonly (readonly [what: string, request: unknown, error: string])[] = [
    ["a register beyond the last", { DescribePCR: { index: 32 } }, "InvalidIndex"],
    [
      "extending a register beyond the last",
      { ExtendPCR: { index: 32, data: new Uint8Array(1) } },
      "InvalidIndex",
    ],
    ["extending a locked register", { ExtendPCR: { index: 0, data: new Uint8Array(1) } }, "ReadOnlyIndex"],
    ["locking a locked register", { LockPCR: { index: 0 } }, "ReadOnlyIndex"],
    ["locking more registers than there are", { LockPCRs: { range: 33 } }, "InvalidIndex"],
    ["an index that is a text", { DescribePCR: { index: "0" } }, "InvalidOperation"],
    ["an index that is negative", { DescribePCR: { index: -1 } }, "InvalidOperation"],
    ["an index that is missing", { DescribePCR: {} }, "InvalidOperation"],
    ["data that are missing", { ExtendPCR: { index: 16 } }, "InvalidOperation"],
    ["an unknown operation", { Reboot: {} }, "InvalidOperation"],
    ["an inherited name", "constructor", "InvalidOperation"],
    ["an operation without its arguments", "Attestation", "InvalidOperation"],
    ["a bare operation as a map", { GetRandom: {} }, "InvalidOperation"],
    ["two operations at once", { LockPCR: { index: 20 }, LockPCRs: { range: 1 } }, "InvalidOperation"],
    ["a number", 7, "InvalidOperation"],
    ["a nonce of 513 bytes", attestation({ nonce: new Uint8Array(513) }), "InputTooLarge"],
    ["user data of 513 bytes", attestation({ user_data: new Uint8Array(513) }), "InputTooLarge"],
    ["a public key of 1025 bytes", attestation({ public_key: new Uint8Array(1025) }), "InputTooLarge"],
    ["a nonce that is a text", attestation({ nonce: "nonce" }), "InvalidOperation"],
    [
      "a request of more than 4096 bytes",
      { ExtendPCR: { index: 16, data: new Uint8Array(4096) } },
      "InputTooLarge",
    ],
  ];
  for (const [what, request, error] of refusals) {
    test(`refuses ${what}: ${error}`, async () =>
      assert.deepEqual(await ask(nsm, request), { Error: error }));
  }

  test("refuses what is not CBOR", async () => {
    for (const request of [[], [0xff], [0x61], [0xa1, 0x61]]) {
      assert.deepEqual(decode(await nsm.exchange(Uint8Array.from(request))), { Error: "InvalidOperation" });
    }
  });

  test("documents at the limits of the fields fit into the device's buffer", async () => {
    using own = await SoftwareNsm.create();
    await ask(own, { LockPCRs: { range: 32 } });
    const document = await own.attest({
      publicKey: new Uint8Array(1024),
      userData: new Uint8Array(512),
      nonce: new Uint8Array(512),
    });
    assert.ok(document.length < 0x3000 - 64, `${document.length} bytes`);
    await verifyAttestation(document, { root: own.root });
  });

  test("starts with given registers, and in debug mode with zeros", async () => {
    using own = await SoftwareNsm.create({ pcrs: { 0: "AB".repeat(48), 8: new Uint8Array(48).fill(8) } });
    assert.equal(own.pcr(0), "ab".repeat(48));
    assert.equal(own.pcr(8), "08".repeat(48));
    using debugged = await SoftwareNsm.create({ debug: true });
    assert.deepEqual([0, 1, 2].map((index) => debugged.pcr(index)), [ZEROS, ZEROS, ZEROS]);
    assert.notEqual(debugged.pcr(4), ZEROS);
  });

  test("refuses registers of a wrong form with a TypeError", async () => {
    for (const pcrs of [{ 0: "ab" }, { 32: ZEROS }, { 0: new Uint8Array(32) }, { 0: "zz".repeat(48) }]) {
      await assert.rejects(SoftwareNsm.create({ pcrs: pcrs as Record<number, string> }), TypeError);
    }
  });

  test("renews its certificate before it ends, and when the clock is put back", async () => {
    let now = Date.UTC(2026, 0, 1);
    using own = await SoftwareNsm.create({ now: () => now });
    for (const hours of [0, 1, 2, 5, 100, -200, 3]) {
      now += hours * 3_600_000;
      await verifyAttestation(await own.attest(), { root: own.root, at: now });
    }
  });

  test("answers no more after dispose", async () => {
    const own = await SoftwareNsm.create();
    own[Symbol.dispose]();
    own[Symbol.dispose]();
    await assert.rejects(own.attest(), DisposedError);
  });

  test.skipIf(!HAS_OPENSSL)(`its certificates pass openssl verify -x509_strict${NO_OPENSSL}`, async () => {
    const { cabundle, certificate } = decodeAttestationDocument(await nsm.attest());
    const [root = certificate, ...others] = cabundle.map((der) => pem("CERTIFICATE", der));
    const files = { root, others: others.join(""), leaf: pem("CERTIFICATE", certificate) };
    const args = [
      "verify",
      "-x509_strict",
      "-check_ss_sig",
      "-CAfile",
      "root",
      "-untrusted",
      "others",
      "leaf",
    ];
    assert.match(openssl(args, files).toString(), /leaf: OK/);
  });

  test.skipIf(!HAS_OPENSSL)(`its leaf lives three hours, on P-384${NO_OPENSSL}`, async () => {
    const { certificate } = decodeAttestationDocument(await nsm.attest());
    const args = ["x509", "-in", "leaf", "-noout", "-text", "-dates"];
    const text = openssl(args, { leaf: pem("CERTIFICATE", certificate) }).toString();
    assert.match(text, /secp384r1/);
    assert.match(text, /ecdsa-with-SHA384/);
    assert.match(text, /CA:FALSE/);
    const [start = "", end = ""] = ["notBefore", "notAfter"].map((name) =>
      new RegExp(`${name}=(.*)`).exec(text)?.[1]
    );
    assert.equal(Date.parse(end) - Date.parse(start), 3 * 3_600_000);
  });
});

function attestation(fields: Readonly<Record<string, unknown>>): unknown {
  return { Attestation: { user_data: null, nonce: null, public_key: null, ...fields } };
}

describe("SoftwareNsm faults", () => {
  let nsm: SoftwareNsm;

  beforeAll(async () => {
    nsm = await SoftwareNsm.create();
  });

  test("are all in the table, under different names", () => {
    const kinds = ["refuse", "silent", "latency", "wrongKey", "expiredLeaf", "debug", "stale", "garbage"];
    assert.deepEqual([...new Set(NSM_FAULTS.map(({ fault }) => fault.kind))].sort(), kinds.sort());
    assert.equal(new Set(NSM_FAULTS.map(({ name }) => name)).size, NSM_FAULTS.length);
  });

  test("last for the given number of requests", async () => {
    nsm.injectFault({ kind: "refuse", errorName: "InternalError" }, { times: 2 });
    const answers = [];
    for (let i = 0; i < 3; i++) answers.push(Object.keys(await ask(nsm, "GetRandom") as object)[0]);
    assert.deepEqual(answers, ["Error", "Error", "GetRandom"]);
  });

  test("end with their scope, or all at once", async () => {
    {
      using _fault = nsm.injectFault({ kind: "refuse", errorName: "InternalError" });
      await assert.rejects(nsm.attest(), AttestationError);
    }
    await nsm.attest();
    nsm.injectFault({ kind: "garbage" });
    nsm.clearFaults();
    await nsm.attest();
  });

  test("silence lasts until faults are ended, and touches no other request", async () => {
    nsm.injectFault({ kind: "silent" }, { times: 1 });
    const silent = nsm.attest();
    const settled = silent.then(() => "answered", () => "refused");
    await nsm.attest();
    assert.equal(await Promise.race([settled, pause(20).then(() => "silent")]), "silent");
    nsm.clearFaults();
    await assert.rejects(
      silent,
      (error: Error & { code?: string }) => error.code === "ERR_ATTESTATION_REFUSED",
    );
  });

  test("a fault that is misspelt is refused: it would do nothing", () => {
    for (
      const [fault, message] of [
        [undefined, /^A fault must have a kind: NSM_FAULTS has one of each$/],
        [{ kind: "slient" }, /^A fault must have a kind: NSM_FAULTS has one of each$/],
        [{ kind: "latency" }, /^ms of the latency fault must be a number$/],
        [
          { kind: "latency", milliseconds: 5 },
          /^The latency fault has no field `milliseconds`: expected kind, ms$/,
        ],
        [{ kind: "refuse", errorName: 1 }, /^errorName of the refuse fault must be a string$/],
      ] as const
    ) {
      assert.throws(() => nsm.injectFault(fault as never), { name: "TypeError", message });
    }
  });

  test("once faults are ended, who waits behind a question without an answer is served", async () => {
    using client = new NsmClient(nsm);
    nsm.injectFault({ kind: "silent" });
    const first = client.attest({});
    const second = client.attest({});
    nsm.clearFaults();
    await assert.rejects(first, AttestationError);
    assert.ok((await second).length > 0);
  });

  test("a stale document is an hour old and otherwise good", async () => {
    using _fault = nsm.injectFault({ kind: "stale" });
    const before = Date.now();
    const { timestamp } = await verifyAttestation(await nsm.attest(), { root: nsm.root });
    const madeAt = timestamp + 3_600_000;
    assert.ok(before <= madeAt && madeAt <= Date.now(), `${madeAt - before} ms after it was asked for`);
  });

  test("a wrong number of times is a RangeError", () => {
    for (const times of [0, -1, 1.5, NaN]) {
      assert.throws(() => nsm.injectFault({ kind: "silent" }, { times }), RangeError);
    }
  });
});

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
