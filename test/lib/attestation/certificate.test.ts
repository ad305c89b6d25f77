import assert from "node:assert/strict";
import { describe, test } from "#test";
import { verifyAttestation } from "../../../lib/attestation/verify.ts";
import {
  type CertificateRequest,
  extension,
  type Identity,
  issueCertificate,
} from "../../../sim/certificates.ts";
import { NULL } from "../../../sim/der.ts";
import { makeDocument } from "../../../sim/nsm_document.ts";
import { assertFails } from "./assert_fails.ts";

const HOUR_MS = 3_600_000;
const NOW = Date.UTC(2026, 10, 21);

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
