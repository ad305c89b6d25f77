import assert from "node:assert/strict";
import { describe, test } from "#test";
import {
  type Certificate,
  type CertificateExtensions,
  KEY_USAGE,
} from "../../../lib/attestation/certificate.ts";
import {
  areSigned,
  AWS_NITRO_ROOT_SHA256,
  checkChain,
  checkRoot,
  isSigned,
} from "../../../lib/attestation/chain.ts";
import { assertFails } from "./assert_fails.ts";

const NOW = 1_000_000;
const bytes = (...values: number[]) => Uint8Array.from(values);

/** Level 0 is the root, level 3 the document's signer; each is named by its level. */
function chain(changes: Readonly<Record<number, Partial<Certificate>>> = {}): Certificate[] {
  return [0, 1, 2, 3].map((level) => ({
    signedPart: bytes(level),
    signature: new Uint8Array(96),
    issuer: bytes(Math.max(level - 1, 0)),
    subject: bytes(level),
    notBefore: NOW - 10,
    notAfter: NOW + 10,
    publicKey: bytes(level),
    extensions: extensionsOf(level),
    ...changes[level],
  }));
}

function extensionsOf(level: number, change: CertificateExtensions = {}): CertificateExtensions {
  const usual = level < 3
    ? { ca: true, pathLength: 2 - level, keyUsage: KEY_USAGE.keyCertSign }
    : { ca: false, keyUsage: KEY_USAGE.digitalSignature };
  return { ...usual, ...change };
}

const withExtensions = (level: number, change: CertificateExtensions) =>
  chain({ [level]: { extensions: extensionsOf(level, change) } });

/** The same extensions, without some. */
function lacking(level: number, name: keyof CertificateExtensions): Certificate[] {
  const { [name]: _, ...extensions } = extensionsOf(level);
  return chain({ [level]: { extensions } });
}

const fails = (code: string, certificates: Certificate[], at = NOW) =>
  assertFails(code, new Promise<void>((resolve) => resolve(checkChain(certificates, at))));

describe("checkChain()", () => {
  test("accepts a chain that is as long as every path length allows, to both ends of its validity", () => {
    for (const at of [NOW - 10, NOW, NOW + 10]) checkChain(chain(), at);
  });

  test("an authority may allow more, or say nothing", () => {
    for (const level of [0, 1, 2]) {
      checkChain(withExtensions(level, { pathLength: 9 }), NOW);
      checkChain(lacking(level, "pathLength"), NOW);
    }
  });

  test("refuses a chain that is longer than one of them allows", async () => {
    for (const level of [0, 1]) await fails("PATH_LENGTH", withExtensions(level, { pathLength: 1 - level }));
  });

  test("refuses issuers that are no authorities, or do not say so", async () => {
    for (const level of [0, 1, 2]) {
      await fails("BASIC_CONSTRAINTS", withExtensions(level, { ca: false }));
      await fails("BASIC_CONSTRAINTS", lacking(level, "ca"));
    }
  });

  test("refuses a signer that is an authority, or has what only authorities have", async () => {
    await fails("BASIC_CONSTRAINTS", withExtensions(3, { ca: true }));
    await fails("BASIC_CONSTRAINTS", withExtensions(3, { pathLength: 0 }));
    checkChain(lacking(3, "ca"), NOW);
  });

  test("refuses keys that are used for what they are not for, also where nothing is said", async () => {
    for (const level of [0, 1, 2]) {
      await fails("KEY_USAGE", withExtensions(level, { keyUsage: KEY_USAGE.digitalSignature }));
      await fails("KEY_USAGE", lacking(level, "keyUsage"));
    }
    await fails("KEY_USAGE", withExtensions(3, { keyUsage: KEY_USAGE.keyCertSign }));
    await fails("KEY_USAGE", lacking(3, "keyUsage"));
    for (const level of [0, 1, 2, 3]) checkChain(withExtensions(level, { keyUsage: 0xff }), NOW);
  });

  test("refuses other names than that of the one above", async () => {
    for (const level of [0, 1, 2, 3]) await fails("CHAIN", chain({ [level]: { issuer: bytes(9) } }));
    await fails("KEY_USAGE", []);
  });

  test("compares key identifiers where both are there", async () => {
    const ids = (authorityKeyId?: number, subjectKeyId?: number) =>
      chain({
        1: {
          extensions: extensionsOf(
            1,
            subjectKeyId === undefined ? {} : { subjectKeyId: bytes(subjectKeyId) },
          ),
        },
        2: {
          extensions: extensionsOf(
            2,
            authorityKeyId === undefined ? {} : { authorityKeyId: bytes(authorityKeyId) },
          ),
        },
      });
    checkChain(ids(1, 1), NOW);
    checkChain(ids(1), NOW);
    checkChain(ids(undefined, 1), NOW);
    await fails("CHAIN", ids(1, 2));
  });

  test("refuses a critical extension that is not known, at any level", async () => {
    for (const level of [0, 1, 2, 3]) {
      await fails("CRITICAL_EXTENSION", withExtensions(level, { unknownCritical: true }));
      checkChain(withExtensions(level, { unknownCritical: false }), NOW);
    }
  });

  test("refuses what has not begun and what has ended, at any level", async () => {
    for (const level of [0, 1, 2, 3]) {
      await fails("NOT_YET_VALID", chain({ [level]: { notBefore: NOW + 1 } }));
      await fails("EXPIRED", chain({ [level]: { notAfter: NOW - 1 } }));
    }
  });

  test("gives the first of several reasons, in the documented order", async () => {
    const wrong = { extensions: { unknownCritical: true }, issuer: bytes(9), notBefore: NOW + 1 };
    await fails("CRITICAL_EXTENSION", chain({ 1: wrong }));
    await fails("CHAIN", chain({ 1: { ...wrong, extensions: {} } }));
    await fails("BASIC_CONSTRAINTS", chain({ 1: { extensions: { pathLength: 0 }, notBefore: NOW + 1 } }));
    await fails("PATH_LENGTH", chain({ 1: { extensions: { ca: true, pathLength: 0 }, notBefore: NOW + 1 } }));
    await fails("KEY_USAGE", chain({ 1: { extensions: { ca: true }, notBefore: NOW + 1 } }));
    await fails("NOT_YET_VALID", chain({ 1: { notBefore: NOW + 1 }, 2: { notAfter: NOW - 1 } }));
  });
});

describe("checkRoot()", () => {
  test("accepts the given root, and no other; AWS's without one", async () => {
    await checkRoot(bytes(1, 2), bytes(1, 2));
    for (const root of [bytes(1), bytes(1, 3), bytes(1, 2, 3), undefined]) {
      await assertFails("ROOT", checkRoot(bytes(1, 2), root));
    }
    await assertFails("ROOT", checkRoot(undefined, bytes()));
    await assertFails("ROOT", checkRoot(undefined, undefined));
  });

  test("knows the fingerprint that AWS publishes", () => {
    assert.equal(AWS_NITRO_ROOT_SHA256, "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b");
  });
});

describe("isSigned() and areSigned()", () => {
  const algorithm = { name: "ECDSA", namedCurve: "P-384" };

  async function signer(data: Uint8Array<ArrayBuffer>) {
    const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const publicKey = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
    const hash = { name: "ECDSA", hash: "SHA-384" };
    const signature = new Uint8Array(await crypto.subtle.sign(hash, keys.privateKey, data));
    return { certificate: { ...chain()[0]!, publicKey }, signature };
  }

  test("accept the signer's signature of these bytes, and nothing else", async () => {
    const { certificate, signature } = await signer(bytes(1));
    assert.equal(await isSigned(certificate, signature, bytes(1)), true);
    assert.equal(await isSigned(certificate, signature, bytes(2)), false);
    assert.equal(await isSigned(certificate, new Uint8Array(96), bytes(1)), false);
    assert.equal(await isSigned(undefined, signature, bytes(1)), false);
    assert.equal(await isSigned((await signer(bytes(1))).certificate, signature, bytes(1)), false);
  });

  test("take a key that is none for a wrong signature", async () => {
    const { certificate, signature } = await signer(bytes(1));
    const offCurve = certificate.publicKey.with(-1, certificate.publicKey.at(-1)! ^ 1);
    for (const publicKey of [offCurve, bytes(), bytes(1, 2, 3)]) {
      assert.equal(await isSigned({ ...certificate, publicKey }, signature, bytes(1)), false);
    }
  });

  test("look at every certificate but the root's", async () => {
    const [first, second] = [await signer(bytes(1)), await signer(bytes(2))];
    const good = [
      first.certificate,
      { ...second.certificate, signedPart: bytes(1), signature: first.signature },
      { ...chain()[2]!, signedPart: bytes(2), signature: second.signature },
    ];
    assert.equal(await areSigned(good), true);
    assert.equal(await areSigned([good[0]!, good[1]!, { ...good[2]!, signedPart: bytes(3) }]), false);
    assert.equal(await areSigned([good[0]!, { ...good[1]!, signedPart: bytes(3) }, good[2]!]), false);
    assert.equal(await areSigned([good[0]!]), true);
  });
});
