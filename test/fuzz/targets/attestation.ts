import { fromBER, type Sequence } from "asn1js";
import { decode, encode } from "cbor2";
import { createPublicKey, verify, X509Certificate } from "node:crypto";
import { Buffer } from "node:buffer";
import { type Certificate, parseCertificate } from "../../../lib/attestation/certificate.ts";
import {
  type AttestationDocument,
  decodeAttestationDocument,
  MAX_ATTESTATION_DOCUMENT_BYTES,
} from "../../../lib/attestation/document.ts";
import { NsmAnswer, type NsmOperation } from "../../../lib/nsm/nsm_answer.ts";
import { verifyAttestation } from "../../../lib/attestation/verify.ts";
import { encodeHex } from "../../../lib/core/encoding.ts";
import { AttestationError } from "../../../lib/core/errors.ts";
import { oid, sequence, set, utf8String } from "../../../sim/tls/der.ts";
import { SoftwareNsm } from "../../../sim/mod.ts";
import { isSampled } from "../sampling.ts";
import { expectShortestLengths } from "./ber.ts";
import { dictionary, expect, expectSame, Finding, type FuzzTarget, oracle } from "../target.ts";

/** When the documents of the corpus are from: certificates live for three hours. */
const MADE_AT = Date.UTC(2026, 10, 21, 12);

const CBOR_WORDS = [
  "0x80",
  "0x84",
  "0x8181818181818181",
  "0x9fff",
  "0x5f4101ff",
  "0xa0",
  "0xbfff",
  "0xf6",
  "0xf7",
  "0xf5",
  "0xfb7ff8000000000000",
  "0xd2",
  "0xc1",
  "0x58ff",
  "0x590100",
  "0x5a00000100",
  "0x5bffffffffffffffff",
  "0x9affffffff",
  "0xbbffffffffffffffff",
  "0x1bffffffffffffffff",
  "0x3903e7",
];

/**
 * The document of a Nitro Secure Module. What is taken, cbor2 writes again to the same bytes, in one of the
 * forms that it may have; where it has fields that are not known, cbor2 reads the others to the same.
 */
export const cose: FuzzTarget = {
  name: "cose",
  maxLength: MAX_ATTESTATION_DOCUMENT_BYTES + 64,
  covers: [
    "lib/attestation/document.ts",
    "lib/attestation/document_items.ts",
    "lib/core/cbor.ts",
    "lib/core/bytes.ts",
  ],
  dictionary: dictionary(
    ...CBOR_WORDS,
    "0x44a1013822",
    "0x43a10126",
    "0x5860",
    "module_id",
    "digest",
    "SHA384",
    "timestamp",
    "pcrs",
    "certificate",
    "cabundle",
    "public_key",
    "user_data",
    "nonce",
    "nitrotpm_pcrs",
    "0xbf",
    "0xff",
    "0x636e6577f93c00",
  ),
  seeds: () => someDocuments(),
  run(input) {
    const bytes = input.slice();
    let document: AttestationDocument;
    try {
      document = decodeAttestationDocument(input);
    } catch (error) {
      return codeOf(error);
    }
    const { signature, pcrs, timestamp, unknownFields } = document;
    expect(pcrs.size > 0 && pcrs.size <= 32 && timestamp > 0, "a field is out of range");
    expect(unknownFields.every((name) => /^[\x20-\x7e]*…?$/.test(name)), "a name is not printable");
    compareWithCbor2(bytes, document);
    const before = signature.slice();
    input.fill(0);
    expectSame(signature, before, "the document is no copy");
    return `ok${unknownFields.length > 0 ? ", with more" : ""}${
      document.payload[0] === 0xbf ? ", open" : ""
    }`;
  },
};

function compareWithCbor2(bytes: Uint8Array, document: AttestationDocument): void {
  const { protectedHeader, payload, signature, unknownFields } = document;
  const isUnsigned = (name: string) => name.startsWith("unprotected ");
  if (!unknownFields.some(isUnsigned)) {
    const [start, ...rest] = [protectedHeader, payload, signature].map((part) => encodeHex(encode(part)));
    const documents = ["a0", "bfff"].map((unprotected) => `84${start}${unprotected}${rest.join("")}`);
    expect(documents.includes(encodeHex(bytes)), "cbor2 writes another document");
  }
  const theirs = readByCbor2(payload);
  // What it does not read are fields that are not known: text that is not UTF-8, and the like.
  if (theirs === undefined) {
    return expect(!unknownFields.every(isUnsigned), "cbor2 does not read the payload");
  }
  const fields = [
    ["module_id", document.moduleId],
    ["digest", document.digest],
    ["timestamp", document.timestamp],
    ["pcrs", document.pcrs],
    ["certificate", document.certificate],
    ["cabundle", document.cabundle],
    ["public_key", document.publicKey],
    ["user_data", document.userData],
    ["nonce", document.nonce],
  ] as const;
  for (const [name, value] of fields) {
    expectSame(encode(theirs.get(name) ?? null), encode(value ?? null), name);
  }
  if (!unknownFields.every(isUnsigned)) return;
  expect(formsOf(theirs).includes(encodeHex(payload)), "cbor2 writes another payload");
}

function readByCbor2<T = ReadonlyMap<unknown, unknown>>(bytes: Uint8Array): T | undefined {
  try {
    return decode<T>(bytes, { preferMap: true, ignoreGlobalTags: true, maxDepth: 20 });
  } catch {
    return undefined;
  }
}

/**
 * A payload in hex, with and without the length of its own map, of that of the registers and of the bundle.
 */
function formsOf(fields: ReadonlyMap<unknown, unknown>): string[] {
  const entries = [...fields].map(([key, value]) => {
    const [name, closed] = [encodeHex(encode(key)), encodeHex(encode(value))];
    if (!(value instanceof Map) && !Array.isArray(value)) return [name + closed];
    // A head of a map of up to 23 has one byte, of up to 32 two.
    const head = (value instanceof Map ? value.size : value.length) < 24 ? 2 : 4;
    return [name + closed, `${name}${value instanceof Map ? "bf" : "9f"}${closed.slice(head)}ff`];
  });
  const contents = entries.reduce((all, forms) => all.flatMap((start) => forms.map((end) => start + end)), [
    "",
  ]);
  return contents.flatMap((content) => [(0xa0 + fields.size).toString(16) + content, `bf${content}ff`]);
}

/** A whole verification. Nothing passes but what a module has signed, whatever else is around it. */
export const verification: FuzzTarget = {
  name: "verification",
  maxLength: MAX_ATTESTATION_DOCUMENT_BYTES,
  batch: 256,
  covers: [
    "lib/attestation/verify.ts",
    "lib/attestation/chain.ts",
    "lib/attestation/certificate.ts",
    "lib/attestation/der.ts",
    "lib/attestation/document.ts",
    "lib/attestation/document_items.ts",
    "lib/core/cbor.ts",
  ],
  dictionary: dictionary(...CBOR_WORDS),
  seeds: () => someDocuments(),
  async run(input) {
    const root = rootOf(input);
    try {
      const { payload, signature, certificate, protectedHeader } = await verifyAttestation(input, {
        at: MADE_AT,
        allowDebug: true,
        ...(root === undefined ? {} : { root }),
      });
      // A COSE verifier of three lines: node:crypto, and not our own reader of certificates.
      const signed = encode(["Signature1", protectedHeader, new Uint8Array(), payload]);
      const { publicKey } = oracle("node:crypto", () => new X509Certificate(certificate));
      const key = createPublicKey(publicKey.export({ type: "spki", format: "pem" }));
      const isGenuine = verify("sha384", signed, { key, dsaEncoding: "ieee-p1363" }, signature);
      expect(isGenuine, "what was verified is not signed");
      return "ok";
    } catch (error) {
      return codeOf(error);
    }
  },
};

/** A certificate of the attestation PKI. What is taken, asn1js and OpenSSL read the same from. */
export const der: FuzzTarget = {
  name: "der",
  dependsOnRuntime: true,
  maxLength: 4096,
  covers: ["lib/attestation/certificate.ts", "lib/attestation/der.ts"],
  dictionary: dictionary(
    "0x3000",
    "0x3080",
    "0x308100",
    "0x30820000",
    "0x30840000ffff",
    "0x300a06082a8648ce3d040303",
    "0x300a06082a8648ce3d040302",
    "0x301006072a8648ce3d020106052b81040022",
    "0xa003020102",
    "0x0101ff",
    "0x010100",
    "0x0603551d13",
    "0x0603551d0f",
    "0x0603551d0e",
    "0x0603551d23",
    "0x03020780",
    "0x03020106",
    "0x02010000",
    "0x020200ff",
    "0x170d3236313132313132303030305a",
    "0x180f32303236313132313132303030305a",
    "0x180f32303530303233303235363036305a",
  ),
  async seeds() {
    const documents = (await someDocuments()).map(decodeAttestationDocument);
    return documents.slice(0, 1).flatMap(({ cabundle, certificate }) => [...cabundle, certificate]);
  },
  run(input) {
    let certificate: Certificate;
    try {
      certificate = parseCertificate(input);
    } catch (error) {
      return codeOf(error);
    }
    const { notBefore, notAfter, signature } = certificate;
    expect(signature.length === 96, "the signature is not of 96 bytes");
    expect(Number.isSafeInteger(notBefore) && Number.isSafeInteger(notAfter), "a time is no number");
    return isSampled(input, 4) ? `ok, ${compareWithOthers(input, certificate)}` : "ok";
  },
};

/** Target of the answers of a module to each operation: every member is read and checked. */
export const nsm: FuzzTarget = {
  name: "nsm",
  maxLength: 0x3000,
  covers: ["lib/nsm/nsm_answer.ts", "lib/core/cbor.ts"],
  dictionary: dictionary(
    ...CBOR_WORDS,
    "Attestation",
    "document",
    "DescribePCR",
    "lock",
    "data",
    "ExtendPCR",
    "LockPCR",
    "LockPCRs",
    "DescribeNSM",
    "locked_pcrs",
    "max_pcrs",
    "GetRandom",
    "random",
    "Error",
    "InvalidOperation",
    "toString",
    "__proto__",
  ),
  seeds() {
    const bytes = new Uint8Array(48).fill(7);
    const describeNsm = {
      version_major: 1,
      version_minor: 0,
      version_patch: 0,
      module_id: "i-1-enc1",
      max_pcrs: 32,
      locked_pcrs: [0, 1, 2],
      digest: "SHA384",
    };
    const answers: Readonly<Record<NsmOperation, unknown>> = {
      Attestation: { Attestation: { document: bytes } },
      DescribePCR: { DescribePCR: { lock: true, data: bytes } },
      ExtendPCR: { ExtendPCR: { data: bytes } },
      LockPCR: "LockPCR",
      LockPCRs: "LockPCRs",
      DescribeNSM: { DescribeNSM: describeNsm },
      GetRandom: { GetRandom: { random: bytes } },
    };
    const good = OPERATIONS.map((operation, index) => Uint8Array.of(index, ...encode(answers[operation])));
    return Promise.resolve([...good, Uint8Array.of(0, ...encode({ Error: "InvalidOperation" }))]);
  },
  run(input) {
    const operation = OPERATIONS[(input[0] ?? 0) % OPERATIONS.length] ?? "Attestation";
    try {
      readAll(operation, input.subarray(1));
      return `ok ${operation}`;
    } catch (error) {
      return codeOf(error);
    }
  },
};

const OPERATIONS: readonly NsmOperation[] = [
  "Attestation",
  "DescribePCR",
  "ExtendPCR",
  "LockPCR",
  "LockPCRs",
  "DescribeNSM",
  "GetRandom",
];

type DescribedNsm = ReadonlyMap<string, ReadonlyMap<string, readonly number[]>>;

function readAll(operation: NsmOperation, bytes: Uint8Array): void {
  switch (operation) {
    case "Attestation":
      expect(NsmAnswer.read(operation, bytes).bytes("document").length > 0, "an empty document");
      break;
    case "DescribePCR": {
      const answer = NsmAnswer.read(operation, bytes);
      expect(typeof answer.boolean("lock") === "boolean" && answer.bytes("data").length > 0, "no register");
      break;
    }
    case "ExtendPCR":
      expect(NsmAnswer.read(operation, bytes).bytes("data").length > 0, "an empty register");
      break;
    case "GetRandom":
      expect(NsmAnswer.read(operation, bytes).bytes("random").length > 0, "nothing random");
      break;
    case "DescribeNSM": {
      const answer = NsmAnswer.read(operation, bytes);
      const numbers = answer.numbers("locked_pcrs");
      const theirs = readByCbor2<DescribedNsm>(bytes)?.get("DescribeNSM")?.get("locked_pcrs");
      // What it does not read has text that is not UTF-8 where nobody looks.
      if (theirs !== undefined) {
        expectSame(numbers, theirs.toSorted((left, right) => left - right), "cbor2, of the locked registers");
      }
      expect(numbers.every((number, at) => at === 0 || number > (numbers[at - 1] ?? 0)), "not ascending");
      expect(answer.number("max_pcrs") <= 0xffff && answer.text("module_id") !== "", "out of range");
      answer.oneOf("digest", ["SHA256", "SHA384", "SHA512"]);
      break;
    }
    default:
      NsmAnswer.read(operation, bytes);
  }
}

/** A document with everything in it and one with nothing, in both forms, and one of debug mode. */
async function someDocuments(): Promise<readonly Uint8Array[]> {
  const now = () => MADE_AT;
  using nsm = await SoftwareNsm.create({ region: "us-east-1", now });
  using old = await SoftwareNsm.create({ region: "us-east-1", now, documentForm: "definite" });
  using debug = await SoftwareNsm.create({ region: "us-east-1", now, debug: true });
  const all = { nonce: new Uint8Array(8), userData: new Uint8Array(8), publicKey: new Uint8Array(16) };
  return await Promise.all([nsm.attest(all), nsm.attest(), old.attest(all), old.attest(), debug.attest()]);
}

/** The document's own root, so that the rest of its chain is looked at. */
function rootOf(input: Uint8Array): Uint8Array | undefined {
  try {
    return decodeAttestationDocument(input).cabundle[0];
  } catch {
    return undefined;
  }
}

/**
 * OpenSSL and asn1js look into what is opaque to us: names, and extensions that we do not know. So they get
 * the certificate once more with plain names and without extensions, which both must read, and to the
 * same.
 */
function compareWithOthers(input: Uint8Array<ArrayBuffer>, certificate: Certificate): string {
  const { publicKey, notBefore, notAfter } = certificate;
  const plain = withoutOpaqueParts(input, certificate);
  const theirs = oracle("OpenSSL", () => new X509Certificate(plain));
  // Deno has no dates here.
  if (theirs.validFromDate !== undefined) {
    expectSame(
      [theirs.validFromDate.getTime(), theirs.validToDate.getTime()],
      [notBefore, notAfter],
      "OpenSSL",
    );
  }
  const { result, offset } = oracle("asn1js", () => fromBER(plain));
  expect(offset === plain.length, "asn1js reads it to another end");
  const [tbs] = (result as Sequence).valueBlock.value;
  const key = (tbs as Sequence).valueBlock.value[6];
  expectSame(bytesOf(key?.valueBeforeDecodeView), bytesOf(publicKey), "asn1js, of the key");
  return compareWhole(input, certificate);
}

/** Compares the certificate as it is: where OpenSSL reads it, it reads the same. */
function compareWhole(input: Uint8Array, { publicKey, extensions }: Certificate): string {
  let theirs: X509Certificate;
  let theirKey: Uint8Array;
  try {
    theirs = new X509Certificate(input);
    theirKey = theirs.publicKey.export({ type: "spki", format: "der" });
  } catch {
    return "not to OpenSSL";
  }
  expectSame(bytesOf(theirKey), bytesOf(publicKey), "OpenSSL, of the key");
  if (theirs.ca) expect(extensions.ca === true, "OpenSSL takes it for an authority's, and we do not");
  return "to OpenSSL as well";
}

function withoutOpaqueParts(
  input: Uint8Array<ArrayBuffer>,
  { signedPart, publicKey }: Certificate,
): Uint8Array<ArrayBuffer> {
  const [tbs = NOTHING, ...rest] = elements(contentsOf(input));
  expectSame(bytesOf(tbs), bytesOf(signedPart), "a simple reader, of the signed part");
  const fields = elements(contentsOf(tbs));
  const [version = NOTHING, serial = NOTHING, algorithm = NOTHING, , validity = NOTHING, , ...others] =
    fields;
  for (const part of [version, serial, algorithm, validity, ...others, ...rest]) expectShortestLengths(part);
  return sequence(sequence(version, serial, algorithm, NAME, validity, NAME, publicKey), ...rest.map(own));
}

const NOTHING: Uint8Array<ArrayBuffer> = new Uint8Array();
const NAME = sequence(set(sequence(oid("2.5.4.3"), utf8String("a"))));

/** Reads DER as DerReader does, in a few lines. */
function elements(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const found: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + headBytes(bytes.subarray(at)) + contentsOf(bytes.subarray(at)).length;
    found.push(bytes.subarray(at, end));
    at = end;
  }
  return found;
}

function contentsOf(element: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const head = headBytes(element);
  const digits = head === 2 ? element.subarray(1, 2) : element.subarray(2, head);
  return element.subarray(head, head + digits.reduce((length, digit) => length * 256 + digit, 0));
}

function headBytes(element: Uint8Array): number {
  const [, first = 0] = element;
  return first < 0x80 ? 2 : 2 + (first & 0x7f);
}

function own(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

function bytesOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? "" : Buffer.from(bytes).toString("hex");
}

function codeOf(error: unknown): string {
  if (error instanceof Finding || !(error instanceof AttestationError)) throw error;
  expect(error.hint !== "" && error.message.length < 300, "the error says too little, or too much");
  return error.code;
}
