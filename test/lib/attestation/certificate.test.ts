import assert from "node:assert/strict";
import { describe, test } from "#test";
import { verifyAttestation } from "../../../lib/attestation/verify.ts";
import {
  type CertificateRequest,
  extension,
  type Identity,
  issueCertificate,
} from "../../../sim/tls/certificates.ts";
import { NULL, oid, sequence } from "../../../sim/tls/der.ts";
import { makeDocument } from "../../../sim/nsm/nsm_document.ts";
import { assertFails } from "./assert_fails.ts";

const HOUR_MS = 3_600_000;
const NOW = Date.UTC(2026, 10, 21);

/** Certificates for a chain that differs in one thing from a good one: root, region, instance, leaf. */
interface ChainPlan {
  readonly what: string;
  readonly code: string;
  readonly change: (level: number) => Partial<CertificateRequest>;
  readonly arrange?: (cabundle: Uint8Array[]) => Uint8Array[];
  /** The level whose certificate says that it is no authority. */
  readonly notAuthority?: number;
  /** Chooses the issuer that is named in the certificate of a level, and signs it. */
  readonly issuer?: (level: number, above: Identity, root: Identity) => Identity;
  /** Changes the certificate of the leaf. */
  readonly leaf?: (certificate: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
}

const SAME = () => ({});
const MEASURED = new Map([[0, new Uint8Array(48).fill(7)]]);
const RENAMED = [["CN", "other"]] as const;

const CHAINS: readonly ChainPlan[] = [
  { what: "a leaf that has expired", code: "EXPIRED", change: at(3, { notAfter: NOW - HOUR_MS }) },
  {
    what: "a leaf that is not valid yet",
    code: "NOT_YET_VALID",
    change: at(3, { notBefore: NOW + HOUR_MS }),
  },
  { what: "a root that is no authority", code: "BASIC_CONSTRAINTS", change: SAME, notAuthority: 0 },
  { what: "an intermediate that is no authority", code: "BASIC_CONSTRAINTS", change: SAME, notAuthority: 2 },
  {
    what: "a path length of the root that is too short",
    code: "PATH_LENGTH",
    change: at(0, { pathLength: 1 }),
  },
  {
    what: "a root that may not sign certificates",
    code: "KEY_USAGE",
    change: at(0, { keyUsage: "documents" }),
  },
  {
    what: "a leaf with a critical extension that is not known",
    code: "CRITICAL_EXTENSION",
    change: at(3, { extraExtensions: [extension("1.2.3.4", NULL, true)] }),
  },
  {
    what: "an issuer of another name",
    code: "CHAIN",
    change: SAME,
    issuer: (level, above) => (level === 2 ? { ...above, subject: RENAMED } : above),
  },
  {
    what: "a leaf from the root, past the intermediates",
    code: "CHAIN",
    change: SAME,
    issuer: (level, above, root) => (level === 3 ? root : above),
  },
  {
    what: "an issuer of another key",
    code: "CHAIN",
    change: SAME,
    issuer: (level, above, root) => (level === 3 ? { ...above, keys: root.keys } : above),
  },
  {
    what: "a root that names another issuer",
    code: "CHAIN",
    change: SAME,
    issuer: (level, above) => (level === 0 ? { ...above, subject: RENAMED } : above),
  },
  {
    what: "a changed signature of an intermediate",
    code: "CERTIFICATE_SIGNATURE",
    change: SAME,
    arrange: ([a, b, c]) => bytes(a, b, c && lastBitFlipped(c)),
  },
  {
    what: "a changed signature of the leaf",
    code: "CERTIFICATE_SIGNATURE",
    change: SAME,
    leaf: lastBitFlipped,
  },
  {
    what: "a leaf that is cut off",
    code: "CERTIFICATE",
    change: SAME,
    leaf: (certificate) => certificate.slice(0, -1),
  },
  {
    what: "a leaf of an indefinite length",
    code: "CERTIFICATE",
    change: SAME,
    leaf: (certificate) => Uint8Array.of(0x30, 0x80, ...certificate.slice(4), 0, 0),
  },
  {
    what: "a leaf with a length in three bytes where two do",
    code: "CERTIFICATE",
    change: SAME,
    leaf: (certificate) => Uint8Array.of(0x30, 0x83, 0, ...certificate.slice(2)),
  },
  {
    what: "an extension without a value",
    code: "CERTIFICATE",
    change: at(1, { extraExtensions: [sequence(oid("1.2.3.4"))] }),
  },
  { what: "the root twice, and nothing else", code: "CHAIN", change: SAME, arrange: ([a]) => bytes(a, a) },
  { what: "no root", code: "ROOT", change: SAME, arrange: ([, b, c]) => bytes(b, c) },
  { what: "an expired root", code: "EXPIRED", change: at(0, { notAfter: NOW - HOUR_MS }) },
  { what: "an expired intermediate", code: "EXPIRED", change: at(1, { notAfter: NOW - HOUR_MS }) },
  {
    what: "an intermediate that is not valid yet",
    code: "NOT_YET_VALID",
    change: at(2, { notBefore: NOW + HOUR_MS }),
  },
  { what: "a path length that is too short", code: "PATH_LENGTH", change: at(1, { pathLength: 0 }) },
  {
    what: "an intermediate that may not sign certificates",
    code: "KEY_USAGE",
    change: at(2, { keyUsage: "documents" }),
  },
  {
    what: "a leaf that may not sign documents",
    code: "KEY_USAGE",
    change: at(3, { keyUsage: "certificates" }),
  },
  {
    what: "a leaf that is an authority",
    code: "BASIC_CONSTRAINTS",
    change: at(3, { pathLength: 0, keyUsage: "documents" }),
  },
  {
    what: "a critical extension that is not known",
    code: "CRITICAL_EXTENSION",
    change: at(2, { extraExtensions: [extension("1.2.3.4", NULL, true)] }),
  },
  {
    what: "an extension that occurs twice",
    code: "CERTIFICATE",
    change: at(2, { extraExtensions: [extension("2.5.29.14", NULL)] }),
  },
  { what: "a key on P-256", code: "CERTIFICATE", change: at(2, { curve: "P-256" }) },
  { what: "an intermediate missing", code: "CHAIN", change: SAME, arrange: ([a, , c]) => bytes(a, c) },
  {
    what: "intermediates in the wrong order",
    code: "CHAIN",
    change: SAME,
    arrange: ([a, b, c]) => bytes(a, c, b),
  },
  { what: "the root last", code: "ROOT", change: SAME, arrange: ([a, b, c]) => bytes(c, b, a) },
  { what: "the root alone", code: "CHAIN", change: SAME, arrange: ([a]) => bytes(a) },
  {
    what: "a certificate that is not DER",
    code: "CERTIFICATE",
    change: SAME,
    arrange: ([a, b]) => bytes(a, b, Uint8Array.of(1)),
  },
  {
    what: "a byte behind a certificate",
    code: "CERTIFICATE",
    change: SAME,
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

/** Flips the last bit of the signature's s. */
function lastBitFlipped(certificate: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(certificate).with(-1, (certificate.at(-1) ?? 0) ^ 1);
}

async function makeChain(plan: Omit<ChainPlan, "what" | "code">): Promise<Identity[]> {
  const { change, notAuthority, issuer = (_, above) => above } = plan;
  const chain: Identity[] = [];
  for (const [level, name] of ["root", "region", "instance", "leaf"].entries()) {
    const request: CertificateRequest = {
      subject: [["CN", name]],
      curve: "P-384",
      notBefore: NOW - 2 * HOUR_MS,
      notAfter: NOW + 2 * HOUR_MS,
      ...(level < 3 && level !== notAuthority ? { pathLength: level === 0 ? Infinity : 2 - level } : {}),
      ...(level === notAuthority ? { keyUsage: "certificates" } : {}),
      ...change(level),
    };
    const above = chain.at(-1) ?? await issueCertificate(request);
    const signer = issuer(level, above, chain[0] ?? above);
    chain.push(level === 0 && signer === above ? above : await issueCertificate(request, signer));
  }
  return chain;
}

async function documentUnder(
  chain: Identity[],
  { arrange = (all) => all, leaf: changed = (same) => same, pcrs = MEASURED }:
    & Pick<ChainPlan, "arrange" | "leaf">
    & { readonly pcrs?: ReadonlyMap<number, Uint8Array<ArrayBuffer>> } = {},
): Promise<Uint8Array> {
  const signer = chain.at(-1);
  assert.ok(signer);
  return await makeDocument({
    moduleId: "i-0-enc0",
    timestamp: NOW,
    pcrs: new Map(pcrs),
    cabundle: arrange(chain.slice(0, -1).map(({ certificate }) => certificate)),
    publicKey: null,
    userData: null,
    nonce: null,
  }, { form: "indefinite", leaf: { ...signer, certificate: changed(signer.certificate) }, signer });
}

describe("verifyAttestation() of certificate chains", () => {
  test("accepts the good chain of these tests", async () => {
    const chain = await makeChain({ change: SAME });
    await verifyAttestation(await documentUnder(chain), { root: chain[0]?.certificate, at: NOW });
  });

  for (const { what, code, ...plan } of CHAINS) {
    test(`refuses ${what} as ${code}`, async () => {
      const chain = await makeChain(plan);
      const document = await documentUnder(chain, plan);
      await assertFails(code, verifyAttestation(document, { root: chain[0]?.certificate, at: NOW }));
    });
  }

  test("takes an enclave for one in debug mode if none of PCR0 to PCR2 has a bit set", async () => {
    const chain = await makeChain({ change: SAME });
    const options = { root: chain[0]?.certificate, at: NOW };
    const zeros = new Uint8Array(48);
    for (const index of [0, 1, 2]) {
      const measured = new Map([[index, zeros.with(-1, 1)]]);
      await verifyAttestation(await documentUnder(chain, { pcrs: measured }), options);
    }
    for (const pcrs of [new Map([[0, zeros], [1, zeros], [2, zeros]]), new Map([[3, zeros.with(0, 1)]])]) {
      await assertFails("DEBUG", verifyAttestation(await documentUnder(chain, { pcrs }), options));
    }
  });

  test("refuses a leaf of another authority with the same names", async () => {
    const chain = await makeChain({ change: SAME });
    const other = await makeChain({ change: SAME });
    const document = await documentUnder([...chain.slice(0, 3), ...other.slice(3)]);
    await assertFails("CHAIN", verifyAttestation(document, { root: chain[0]?.certificate, at: NOW }));
  });
});
