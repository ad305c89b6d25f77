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
import {
  type CertificateRequest,
  extension,
  type Identity,
  issueCertificate,
} from "../../../sim/certificates.ts";
import { NULL } from "../../../sim/der.ts";
import { SoftwareNsm } from "../../../sim/nsm.ts";
import { makeDocument } from "../../../sim/nsm_document.ts";
import { HAS_VECTORS, readVector, SKIPPED } from "./vectors.ts";

const HOUR_MS = 3_600_000;
const NOW = Date.UTC(2026, 10, 21);
const NONCE = new TextEncoder().encode("nonce");

async function assertFails(code: string, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof AttestationError, String(error));
    assert.equal(error.code, `ERR_ATTESTATION_${code}`, error.message);
    assert.ok(error.hint.length > 10);
    return true;
  });
}

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

/** Certificates for a chain that differs in one thing from a good one: root, region, instance, leaf. */
interface ChainPlan {
  readonly what: string;
  readonly code: string;
  readonly change: (level: number) => Partial<CertificateRequest>;
  readonly arrange?: (cabundle: Uint8Array[]) => Uint8Array[];
}

const CHAINS: readonly ChainPlan[] = [
  { what: "an expired root", code: "EXPIRED", change: at(0, { notAfter: NOW - HOUR_MS }) },
  { what: "an expired intermediate", code: "EXPIRED", change: at(1, { notAfter: NOW - HOUR_MS }) },
  {
    what: "an intermediate that is not valid yet",
    code: "EXPIRED",
    change: at(2, { notBefore: NOW + HOUR_MS }),
  },
  { what: "a path length that is too short", code: "CHAIN", change: at(1, { pathLength: 0 }) },
  {
    what: "an intermediate that may not sign certificates",
    code: "CHAIN",
    change: at(2, { keyUsage: "documents" }),
  },
  { what: "a leaf that may not sign documents", code: "CHAIN", change: at(3, { keyUsage: "certificates" }) },
  {
    what: "a leaf that is an authority",
    code: "CHAIN",
    change: at(3, { pathLength: 0, keyUsage: "documents" }),
  },
  {
    what: "a critical extension that is not known",
    code: "CHAIN",
    change: at(2, { extraExtensions: [extension("1.2.3.4", NULL, true)] }),
  },
  {
    what: "an extension that occurs twice",
    code: "FORMAT",
    change: at(2, { extraExtensions: [extension("2.5.29.14", NULL)] }),
  },
  { what: "a key on P-256", code: "FORMAT", change: at(3, { curve: "P-256" }) },
  { what: "an intermediate missing", code: "CHAIN", change: () => ({}), arrange: ([a, , c]) => bytes(a, c) },
  {
    what: "intermediates in the wrong order",
    code: "CHAIN",
    change: () => ({}),
    arrange: ([a, b, c]) => bytes(a, c, b),
  },
  { what: "the root last", code: "CHAIN", change: () => ({}), arrange: ([a, b, c]) => bytes(c, b, a) },
  { what: "the root alone", code: "CHAIN", change: () => ({}), arrange: ([a]) => bytes(a) },
  {
    what: "a certificate that is not DER",
    code: "FORMAT",
    change: () => ({}),
    arrange: ([a, b]) => bytes(a, b, Uint8Array.of(1)),
  },
  {
    what: "a byte behind a certificate",
    code: "FORMAT",
    change: () => ({}),
    arrange: ([a, b, c]) => bytes(a, b, Uint8Array.of(...(c ?? []), 0)),
  },
];

function at(
  level: number,
  change: Partial<CertificateRequest>,
): (level: number) => Partial<CertificateRequest> {
  return (other) => (other === level ? change : {});
}

function bytes(...list: (Uint8Array | undefined)[]): Uint8Array[] {
  return list.filter((entry) => entry !== undefined);
}

async function makeChain(change: ChainPlan["change"]): Promise<Identity[]> {
  const chain: Identity[] = [];
  for (const [level, name] of ["root", "region", "instance", "leaf"].entries()) {
    const request: CertificateRequest = {
      subject: [["CN", name]],
      curve: "P-384",
      notBefore: NOW - 2 * HOUR_MS,
      notAfter: NOW + 2 * HOUR_MS,
      ...(level < 3 ? { pathLength: level === 0 ? Infinity : 2 - level } : {}),
      ...change(level),
    };
    chain.push(await issueCertificate(request, chain.at(-1)));
  }
  return chain;
}

async function documentUnder(
  chain: Identity[],
  arrange: ChainPlan["arrange"] = (all) => all,
): Promise<Uint8Array> {
  const leaf = chain.at(-1);
  assert.ok(leaf);
  return await makeDocument({
    moduleId: "i-0-enc0",
    timestamp: NOW,
    pcrs: new Map([[0, new Uint8Array(48).fill(7)]]),
    cabundle: arrange(chain.slice(0, -1).map(({ certificate }) => certificate)),
    publicKey: null,
    userData: null,
    nonce: null,
  }, leaf);
}

describe("verifyAttestation() of certificate chains", () => {
  test("accepts the good chain of these tests", async () => {
    const chain = await makeChain(() => ({}));
    await verifyAttestation(await documentUnder(chain), { root: chain[0]?.certificate, at: NOW });
  });

  for (const { what, code, change, arrange } of CHAINS) {
    test(`refuses ${what}`, async () => {
      const chain = await makeChain(change);
      const document = await documentUnder(chain, arrange);
      await assertFails(code, verifyAttestation(document, { root: chain[0]?.certificate, at: NOW }));
    });
  }

  test("refuses a leaf of another authority with the same names", async () => {
    const chain = await makeChain(() => ({}));
    const other = await makeChain(() => ({}));
    const document = await documentUnder([...chain.slice(0, 3), ...other.slice(3)]);
    await assertFails("CHAIN", verifyAttestation(document, { root: chain[0]?.certificate, at: NOW }));
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
