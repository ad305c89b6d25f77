import assert from "node:assert/strict";
import { beforeAll, describe, test } from "#test";
import { parseCertificate } from "../../../lib/attestation/certificate.ts";
import { TAG } from "../../../lib/attestation/der.ts";
import { decodeHex } from "../../../lib/core/encoding.ts";
import { extension, issueCertificate } from "../../../sim/tls/certificates.ts";
import { NULL, octetString } from "../../../sim/tls/der.ts";

/** An element of DER: what is constructed has a list of them, everything else bytes. */
interface Node {
  tag: number;
  content: Node[] | Uint8Array;
}

/** Paths of the parts of a certificate, from the outermost sequence. */
const TBS = [0];
const [VERSION, ALGORITHM, VALIDITY, SPKI, EXTENSIONS] = [[0, 0, 0], [0, 2], [0, 4], [0, 6], [0, 7, 0]];
const [NOT_BEFORE, POINT] = [[...VALIDITY, 0], [...SPKI, 1]];
const [OUTER_ALGORITHM, SIGNATURE] = [[1], [2]];

const ECDSA_WITH_SHA256 = "06082a8648ce3d040302";
const P256 = "06072a8648ce3d020106082a8648ce3d030107";
const EXTRA: Node = { tag: 0x05, content: new Uint8Array() };

const text = (value: string) => new TextEncoder().encode(value);
const of = (...bytes: number[]) => Uint8Array.from(bytes);

/** One certificate with one thing wrong, and what is said of it. */
const WRONG: Readonly<Record<string, readonly [change: (root: Node) => void, message: string]>> = {
  "a fourth part": [append([]), "there is something left over"],
  "a part behind the extensions": [append(TBS), "there is something left over"],
  "a third time": [append(VALIDITY), "there is something left over"],
  "a part behind the key": [append(SPKI), "there is something left over"],
  "version 1": [set(VERSION, of(0)), "not version 3"],
  "another algorithm in the signed part": [
    set(ALGORITHM, decodeHex(ECDSA_WITH_SHA256)),
    "not signed by ECDSA with SHA-384",
  ],
  "another algorithm behind it": [
    set(OUTER_ALGORITHM, decodeHex(ECDSA_WITH_SHA256)),
    "not signed by ECDSA with SHA-384",
  ],
  "a key on P-256": [set([...SPKI, 0], decodeHex(P256)), "the key is not on P-384"],
  "a point of 96 bytes": [set(POINT, of(0, 4, ...Array(95).fill(1))), "the key is not a point"],
  "a point of 98 bytes": [set(POINT, of(0, 4, ...Array(97).fill(1))), "the key is not a point"],
  "a compressed point's sign": [set(POINT, of(0, 2, ...Array(96).fill(1))), "the key is not a point"],
  "a third number in the signature": [
    set(SIGNATURE, of(0, 0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1)),
    "there is something left over",
  ],
  "bytes behind the signature": [
    set(SIGNATURE, of(0, 0x30, 6, 2, 1, 1, 2, 1, 1, 5, 0)),
    "there is something left over",
  ],
  "a number of 49 bytes in the signature": [
    set(SIGNATURE, of(0, 0x30, 54, 2, 49, ...Array(49).fill(1), 2, 1, 1)),
    "the signature is too long",
  ],
  "a time with a character before it": [set(NOT_BEFORE, text("x491231235959Z")), "a time is malformed"],
  "a time with a character behind it": [set(NOT_BEFORE, text("491231235959Zx")), "a time is malformed"],
  "a time of a year of three digits": [set(NOT_BEFORE, text("1491231235959Z")), "a time is malformed"],
  "a short time with a long year": [set(NOT_BEFORE, text("20491231235959Z")), "a time is malformed"],
  "a long time with a short year": [
    set(NOT_BEFORE, text("491231235959Z"), TAG.generalizedTime),
    "a time is malformed",
  ],
  "a long time that is a short one behind two characters": [
    set(NOT_BEFORE, text("xx491231235959Z"), TAG.generalizedTime),
    "a time is malformed",
  ],
  "a long time that is a short one before two characters": [
    set(NOT_BEFORE, text("491231235959Zxx"), TAG.generalizedTime),
    "a time is malformed",
  ],
  "a time without its Z": [set(NOT_BEFORE, text("4912312359590")), "a time is malformed"],
  "a thirteenth month": [set(NOT_BEFORE, text("491331235959Z")), "a time does not exist"],
  "a thirtieth of February": [set(NOT_BEFORE, text("490230235959Z")), "a time does not exist"],
  "a sixtieth second": [set(NOT_BEFORE, text("491231235960Z")), "a time does not exist"],
  "an extension twice": [
    change(EXTENSIONS, (list) => list.push(list[0]!)),
    "an extension occurs twice",
  ],
  "an extension that is not known twice": [
    addExtensions(extension("1.2.3.4", NULL), extension("1.2.3.4", NULL)),
    "an extension occurs twice",
  ],
  "an extension with a fourth part": [
    change(EXTENSIONS, (list) => (list[0]!.content as Node[]).push(EXTRA)),
    "there is something left over",
  ],
  "bytes behind an extension's value": [
    addExtensions(extension("2.5.29.14", concat(octetString(of(1)), of(5, 0)))),
    "there is something left over",
  ],
  "a third part of the basic constraints": [
    constraints(of(0x30, 8, 1, 1, 0xff, 2, 1, 0, 5, 0)),
    "there is something left over",
  ],
  "a path length of two bytes": [
    constraints(of(0x30, 7, 1, 1, 0xff, 2, 2, 1, 0)),
    "the path length is too large",
  ],
  "key usage with eight unused bits": [
    addExtensions(extension("2.5.29.15", of(3, 2, 8, 0x80))),
    "the key usage is malformed",
  ],
  "key usage without bits": [addExtensions(extension("2.5.29.15", of(3, 0))), "the key usage is malformed"],
};

describe("parseCertificate(), one thing at a time", () => {
  let good: Uint8Array<ArrayBuffer>;
  let bare: Uint8Array<ArrayBuffer>;

  beforeAll(async () => {
    const request = {
      subject: [["CN", "test"]],
      curve: "P-384",
      notBefore: Date.UTC(2049, 11, 31, 23, 59, 59),
      notAfter: Date.UTC(2050, 0, 1),
      pathLength: 3,
    } as const;
    good = (await issueCertificate(request)).certificate;
    bare = changed(good, change(EXTENSIONS, (list) => list.splice(0)));
  });

  test("the editor of these tests changes nothing by itself", () => {
    assert.deepEqual(changed(good, () => {}), good);
    assert.deepEqual(parseCertificate(bare).extensions, {});
  });

  for (const [what, [wrong, message]] of Object.entries(WRONG)) {
    test(`refuses ${what}`, () => {
      // Without extensions of its own, so that none of those that are added is there already.
      const from = message.startsWith("an extension occurs") || what.includes("fourth part") ? good : bare;
      assert.throws(() => parseCertificate(changed(from, wrong)), {
        code: "ERR_ATTESTATION_CERTIFICATE",
        message: `Cannot read certificate: ${message}`,
      });
    });
  }

  test("reads years of two digits as 1950 to 2049", () => {
    const years = {
      "000101000000Z": 2000,
      "490101000000Z": 2049,
      "500101000000Z": 1950,
      "990101000000Z": 1999,
    };
    for (const [time, year] of Object.entries(years)) {
      assert.equal(
        parseCertificate(changed(good, set(NOT_BEFORE, text(time)))).notBefore,
        Date.UTC(year, 0, 1),
      );
    }
  });

  test("reads the extensions that matter, and whether another is critical", () => {
    const read = (...added: Uint8Array[]) =>
      parseCertificate(changed(bare, addExtensions(...added))).extensions;
    assert.deepEqual(read(extension("2.5.29.19", of(0x30, 0))), { ca: false });
    assert.deepEqual(read(extension("2.5.29.19", of(0x30, 3, 2, 1, 5))), { ca: false, pathLength: 5 });
    assert.deepEqual(read(extension("2.5.29.15", of(3, 2, 7, 0x80))), { keyUsage: 0x80 });
    assert.deepEqual(read(extension("2.5.29.15", of(3, 1, 0))), { keyUsage: 0 });
    assert.deepEqual(read(extension("2.5.29.14", octetString(of(1, 2)))), { subjectKeyId: of(1, 2) });
    assert.deepEqual(read(extension("2.5.29.35", of(0x30, 4, 0x80, 2, 1, 2))), { authorityKeyId: of(1, 2) });
    assert.deepEqual(read(extension("2.5.29.35", of(0x30, 3, 0x82, 1, 1))), {});
    const [critical, ignored] = [extension("1.2.3.4", NULL, true), extension("1.2.3.5", NULL)];
    assert.deepEqual(read(ignored), { unknownCritical: false });
    for (const both of [[critical, ignored], [ignored, critical]]) {
      assert.deepEqual(read(...both), { unknownCritical: true });
    }
  });

  test("keeps the parts that are signed and compared as they are", () => {
    const root = parse(good);
    const { signedPart, issuer, subject, publicKey, signature } = parseCertificate(good);
    const [issuerNode, subjectNode, keyNode] = [[0, 3], [0, 5], SPKI].map((path) => encode(find(root, path)));
    assert.deepEqual(signedPart, encode(find(root, TBS)));
    assert.deepEqual([issuer, subject, publicKey], [issuerNode, subjectNode, keyNode]);
    assert.equal(signature.length, 96);
    const short = changed(good, set(SIGNATURE, of(0, 0x30, 7, 2, 1, 7, 2, 2, 1, 9)));
    const padded = new Uint8Array(96);
    padded.set([7], 47);
    padded.set([1, 9], 94);
    assert.deepEqual(parseCertificate(short).signature, padded);
  });
});

function changed(der: Uint8Array, edit: (root: Node) => void): Uint8Array<ArrayBuffer> {
  const root = parse(der);
  edit(root);
  return encode(root);
}

function change(path: readonly number[], edit: (list: Node[]) => void): (root: Node) => void {
  return (root) => edit(find(root, path).content as Node[]);
}

function append(path: readonly number[]): (root: Node) => void {
  return change(path, (list) => list.push(EXTRA));
}

function set(path: readonly number[], content: Uint8Array, tag?: number): (root: Node) => void {
  return (root) => Object.assign(find(root, path), { content, ...(tag !== undefined && { tag }) });
}

function addExtensions(...added: Uint8Array[]): (root: Node) => void {
  return change(EXTENSIONS, (list) => list.push(...added.map(parse)));
}

function constraints(value: Uint8Array<ArrayBuffer>): (root: Node) => void {
  return addExtensions(extension("2.5.29.19", value));
}

function find(root: Node, path: readonly number[]): Node {
  return path.reduce((node, index) => (node.content as Node[])[index]!, root);
}

function parse(der: Uint8Array): Node {
  const { node, end } = parseAt(der, 0);
  assert.equal(end, der.length);
  return node;
}

function parseAt(der: Uint8Array, at: number): { node: Node; end: number } {
  const [tag = 0, first = 0] = der.subarray(at);
  const count = first < 0x80 ? 0 : first & 0x7f;
  const long = der.subarray(at + 2, at + 2 + count).reduce((length, byte) => length * 256 + byte, 0);
  const start = at + 2 + count;
  const end = start + (count === 0 ? first : long);
  if ((tag & 0x20) === 0) return { node: { tag, content: der.slice(start, end) }, end };
  const content: Node[] = [];
  for (let next = start; next < end;) {
    const child = parseAt(der, next);
    content.push(child.node);
    next = child.end;
  }
  return { node: { tag, content }, end };
}

function encode({ tag, content }: Node): Uint8Array<ArrayBuffer> {
  const bytes = content instanceof Uint8Array ? content : concat(...content.map(encode));
  const { length } = bytes;
  if (length < 0x80) return concat(of(tag, length), bytes);
  if (length < 0x100) return concat(of(tag, 0x81, length), bytes);
  return concat(of(tag, 0x82, length >> 8, length & 0xff), bytes);
}

function concat(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}
