import { Buffer } from "node:buffer";
import { createHash, createPublicKey, verify } from "node:crypto";
import { decode, encode } from "cbor2";
import { readSummaryImage, readSummaryPcrs } from "../../../deploy/eif/build_summary.ts";
import { CPIO_TRAILER, cpioHeader, cpioPadding } from "../../../deploy/eif/cpio.ts";
import { Crc32 } from "../../../deploy/eif/crc32.ts";
import {
  CRC_OFFSET,
  EIF_HEADER_BYTES,
  encodeEifHeader,
  encodeSectionHeader,
  SECTION_HEADER_BYTES,
  type SectionType,
} from "../../../deploy/eif/format.ts";
import { bytesSource } from "../../../deploy/eif/image_source.ts";
import { describeImage } from "../../../deploy/eif/inspect_image.ts";
import { parseManifest } from "../../../deploy/eif/manifest.ts";
import { NODE_HASHES } from "../../../deploy/eif/node_sha384.ts";
import { makeSignature } from "../../../deploy/eif/signature.ts";
import { concatBytes } from "../../../lib/core/bytes.ts";
import { encodeBase64 } from "../../../lib/core/encoding.ts";
import { ImageError } from "../../../lib/core/errors.ts";
import { dictionary, expect, expectSame, type FuzzTarget, oracle, utf8 } from "../target.ts";

const RAMDISK = concatBytes([
  cpioHeader({ path: "init", type: "file", mode: 0o755, size: 2 }, 1),
  utf8("#!"),
  new Uint8Array(cpioPadding(2)),
  CPIO_TRAILER,
]);

/** Forms of an input: its first byte chooses what the rest of it is. */
const FORMS = ["a file", "a ramdisk", "a signature", "metadata"] as const;

/**
 * Enclave image, whole or one section of a good one. Its CRC is made right: it protects from accidents, and every mutation
 * would end there. PCRs are computed once more from the offsets of the header.
 */
export const image: FuzzTarget = {
  name: "image",
  maxLength: 8192,
  batch: 512,
  covers: [
    ...["deploy/eif/read_image.ts", "deploy/eif/cpio.ts", "deploy/eif/format.ts", "deploy/eif/signature.ts"],
    ...["deploy/eif/image_contents.ts", "deploy/eif/inspect_image.ts", "deploy/strict_json.ts"],
  ],
  dictionary: dictionary(
    ...[
      ".eif",
      "070701",
      "TRAILER!!!",
      "00000000",
      "FFFFFFFF",
      "000081A4",
      "000041ED",
      "0000A1FF",
      "rootfs/",
    ],
    ...["0x0004", "0x0001", "0x0003", "0x0005", "0x0000000000000224", "0xffffffffffffffff", "0x00000000"],
    ...[
      "0x81a2",
      "signing_certificate",
      "signature",
      "0x844401382200",
      "0xa0",
      "0x5860",
      "[[[[[[[[",
      '{"a":1}',
    ],
    ...["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "0x1900ff", "0x9818", "0x1818"],
  ),
  seeds: () => makeSeeds(),
  async run(input) {
    const bytes = fileOf(input[0] ?? 0, input.subarray(1));
    let description: Awaited<ReturnType<typeof describeImage>>;
    try {
      description = await describeImage(bytesSource(bytes), { contents: true, hashes: NODE_HASHES });
    } catch (error) {
      return faultOf(error);
    }
    const sections = walk(bytes);
    expectSame(
      description.sections.map(({ type }) => type),
      sections.map(({ type }) => type),
      "the sections",
    );
    const measured = (...types: readonly SectionType[]) =>
      sections.filter(({ type }) => types.includes(type));
    const [kernel, cmdline] = [measured("kernel"), measured("cmdline")];
    const ramdisks = measured("ramdisk");
    expectSame(description.pcrs[0], pcrOf([...kernel, ...cmdline, ...ramdisks]), "PCR0");
    expectSame(description.pcrs[1], pcrOf([...kernel, ...cmdline, ...ramdisks.slice(0, 1)]), "PCR1");
    expectSame(description.pcrs[2], pcrOf(ramdisks.slice(1)), "PCR2");
    expectSame(description.sha384, createHash("sha384").update(bytes).digest("hex"), "the hash of the file");
    expectSame(description.isSigned, measured("signature").length === 1, "whether it is signed");
    if (description.isSigned) checkSignature(measured("signature")[0]!.content, description.pcrs[0]!);
    expectSame(
      JSON.parse(JSON.stringify(description)).contents,
      description.contents,
      "the description as JSON",
    );
    return `ok ${sections.length} ${description.isSigned} ${Math.min(description.contents?.length ?? 0, 4)}`;
  },
};

/** Manifest or build summary. The first byte chooses. What is taken, JSON.parse reads to the same. */
export const summary: FuzzTarget = {
  name: "summary",
  maxLength: 4096,
  covers: ["deploy/eif/build_summary.ts", "deploy/eif/manifest.ts", "deploy/strict_json.ts"],
  dictionary: dictionary(
    ...[
      '"pcrs"',
      '"Measurements"',
      '"HashAlgorithm"',
      '"PCR0"',
      '"0"',
      '"8"',
      "4e".repeat(48),
      "0".repeat(96),
    ],
    ...[
      '"manifestVersion"',
      '"kernel"',
      '"from"',
      '"sha256"',
      '"mode"',
      '"0755"',
      '"symlink"',
      '"directory"',
    ],
    ...[
      '"command"',
      '"environment"',
      '"configuration"',
      '"path"',
      '"schema"',
      "null",
      "true",
      "[",
      "]",
      "{",
      "}",
    ],
    ...['"__proto__"', "\\u0030", "\\u0000", "..", "/", "aarch64", "x86_64", "1e400", ","],
  ),
  seeds: () =>
    Promise.resolve([
      utf8(`\0${JSON.stringify({ pcrs: { 0: "4e".repeat(48), 8: "5F".repeat(48) } })}`),
      utf8(`\0${JSON.stringify({ Measurements: { HashAlgorithm: "Sha384", PCR0: "4e".repeat(48) } })}`),
      utf8(`\x01${JSON.stringify(MANIFEST)}`),
    ]),
  run(input) {
    const text = new TextDecoder().decode(input.subarray(1));
    try {
      if ((input[0] ?? 0) % 2 === 1) return checkManifest(text);
      const pcrs = readSummaryPcrs(text);
      const theirs = oracle("JSON.parse", () => JSON.parse(text));
      const named = Object.entries({ ...theirs.pcrs, ...theirs.Measurements })
        .filter(([name]) => name !== "HashAlgorithm")
        .map(([name, pcr]) => [name.replace("PCR", ""), String(pcr).toLowerCase()]);
      expectSame(pcrs, Object.fromEntries(named), "the PCRs");
      expectSame(
        Object.values(readSummaryImage(text)),
        [pcrs[0], ...(pcrs[8] ? [pcrs[8]] : [])],
        "the image",
      );
      expect(Object.values(pcrs).every((pcr) => /^(?!0+$)[0-9a-f]{96}$/.test(pcr)), "a PCR is none");
      return `ok ${Object.keys(pcrs).length}`;
    } catch (error) {
      return faultOf(error);
    }
  },
};

function checkManifest(text: string): string {
  const manifest = parseManifest(text);
  const theirs = oracle("JSON.parse", () => JSON.parse(text));
  expectSame(JSON.parse(JSON.stringify(manifest)), theirs, "the manifest");
  expectSame(parseManifest(JSON.stringify(manifest)), manifest, "the manifest, written again");
  return `ok ${Math.min(manifest.bootstrap.length, 2)} ${Math.min(manifest.application.length, 2)}`;
}

const KERNEL = { from: "bzImage", sha256: "ab".repeat(32), origin: "linux" };
const MANIFEST = {
  manifestVersion: 1,
  name: "app",
  version: "1",
  architecture: "x86_64",
  kernel: KERNEL,
  commandLine: "quiet",
  bootstrap: [{ path: "init", mode: "0755", from: "init", sha256: "cd".repeat(32) }],
  application: [{ path: "bin", symlink: "usr/bin" }, { path: "tmp", directory: true, mode: "1777" }],
  command: ["/app", "--port", "1"],
  environment: { A: "", B: "c" },
};

/** @throws An error that is not the reader's own */
function faultOf(error: unknown): string {
  if (!(error instanceof ImageError)) throw error;
  expect(error.hint !== "" && error.message.length < 2000, "the error says too little, or too much");
  return error.message.replace(/^[^:]*: /, "").replaceAll(/"(?:[^"\\]|\\.)*"|`[^`]*`/g, '""')
    .replaceAll(/\b0x[0-9a-f]+\b|\b[0-9a-f]*\d[0-9a-f]*\b|\d+/g, "0").replaceAll(
      /\b(environment)\.\w+/g,
      "$1",
    )
    .replace(/(has no field "").*$/s, "$1").replace(/^(.{60}).*$/s, "$1");
}

function fileOf(form: number, rest: Uint8Array): Uint8Array<ArrayBuffer> {
  const name = FORMS[form % FORMS.length];
  if (name === "a file") return withCrc(rest.slice());
  const metadata = name === "metadata" ? rest : utf8("{}");
  const ramdisk = name === "a ramdisk" ? rest : RAMDISK;
  return imageOf([
    ["kernel", utf8("kernel")],
    ["cmdline", utf8("quiet")],
    ["metadata", metadata],
    ["ramdisk", ramdisk],
    ...(name === "a signature" ? [["signature", rest] as const] : []),
  ]);
}

function imageOf(parts: readonly (readonly [SectionType, Uint8Array])[]): Uint8Array<ArrayBuffer> {
  let end = EIF_HEADER_BYTES;
  const places = parts.map(([, { length: size }]) => {
    const place = { offset: end, size };
    end += SECTION_HEADER_BYTES + size;
    return place;
  });
  const header = { architecture: "x86_64", memoryBytes: 1 << 30, cpuCount: 2, places, crc32: 0 } as const;
  const sections = parts.flatMap(([type, content]) => [encodeSectionHeader(type, content.length), content]);
  return withCrc(concatBytes([encodeEifHeader(header), ...sections]));
}

function withCrc(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes.length < EIF_HEADER_BYTES) return bytes;
  const crc = new Crc32();
  crc.update(bytes.subarray(0, CRC_OFFSET));
  crc.update(bytes.subarray(EIF_HEADER_BYTES));
  new DataView(bytes.buffer).setUint32(CRC_OFFSET, crc.value);
  return bytes;
}

interface WalkedSection {
  readonly type: SectionType;
  readonly content: Uint8Array;
}

/** Goes by the offsets of the header alone. */
function walk(bytes: Uint8Array): WalkedSection[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const types: readonly SectionType[] = ["kernel", "cmdline", "ramdisk", "signature", "metadata"];
  return Array.from({ length: view.getUint16(26) }, (_, index) => {
    const at = Number(view.getBigUint64(28 + index * 8));
    const size = Number(view.getBigUint64(28 + 256 + index * 8));
    return { type: types[view.getUint16(at) - 1]!, content: bytes.subarray(at + 12, at + 12 + size) };
  });
}

function pcrOf(sections: readonly WalkedSection[]): string {
  const content = Buffer.concat(sections.map(({ content }) => content));
  const digest = createHash("sha384").update(content).digest();
  return createHash("sha384").update(Buffer.alloc(48)).update(digest).digest("hex");
}

/** Beginning of a key on P-384 in X.509, which has 97 bytes more. */
const P384_SPKI = Buffer.from("3076301006072a8648ce3d020106052b81040022036200", "hex");

/** Has cbor2 read a signature section that our reader took, and OpenSSL verify it. */
function checkSignature(section: Uint8Array, pcr0: string): void {
  const bytesOf = (numbers: unknown) => Uint8Array.from(numbers as number[]);
  const [entry] = oracle("cbor2", () => decode<Readonly<Record<string, unknown>>[]>(section));
  const [head, , payload, signature] = oracle(
    "cbor2",
    () => decode<Uint8Array[]>(bytesOf(entry!["signature"]), { preferMap: true }),
  );
  const { register_index: index, register_value: value } = oracle(
    "cbor2",
    () => decode<Readonly<Record<string, unknown>>>(payload!),
  );
  expectSame([index, Buffer.from(bytesOf(value)).toString("hex")], [0, pcr0], "the register");
  const pem = Buffer.from(bytesOf(entry!["signing_certificate"])).toString();
  const der = Buffer.from(pem.replaceAll(/-----[A-Z ]+-----/g, ""), "base64");
  const at = der.indexOf(P384_SPKI);
  if (at < 0) return;
  const key = createPublicKey({ key: der.subarray(at, at + 120), format: "der", type: "spki" });
  const signed = encode(["Signature1", head, new Uint8Array(), payload]);
  expect(
    verify("sha384", signed, { key, dsaEncoding: "ieee-p1363" }, signature!),
    "OpenSSL refuses the signature",
  );
}

/** Certificate that has of X.509 what is read of it. */
function certificateOf(spki: Uint8Array): string {
  const sequence = (...parts: readonly Uint8Array[]) => {
    const content = concatBytes(parts);
    return concatBytes([[0x30, 0x81, content.length], content]);
  };
  const empty = Uint8Array.of(0x30, 0);
  const der = sequence(sequence(Uint8Array.of(2, 1, 1), empty, empty, empty, empty, spki));
  return `-----BEGIN CERTIFICATE-----\n${encodeBase64(der)}\n-----END CERTIFICATE-----\n`;
}

async function makeSeeds(): Promise<readonly Uint8Array[]> {
  const algorithm = { name: "ECDSA", namedCurve: "P-384" };
  const { publicKey, privateKey } = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = certificateOf(new Uint8Array(await crypto.subtle.exportKey("spki", publicKey)));
  const sign = async (bytes: Uint8Array<ArrayBuffer>) =>
    new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-384" }, privateKey, bytes));
  const pcr0 = Buffer.from(
    pcrOf([utf8("kernel"), utf8("quiet"), RAMDISK].map((content) => ({ type: "kernel", content }))),
    "hex",
  );
  const section = await makeSignature(pcr0, { certificate, sign });
  const whole = imageOf([
    ["kernel", utf8("kernel")],
    ["cmdline", utf8("quiet")],
    ["metadata", utf8('{"ImageName":"app"}')],
    ["ramdisk", RAMDISK],
    ["ramdisk", RAMDISK],
  ]);
  const form = (index: number, bytes: Uint8Array) => concatBytes([[index], bytes]);
  return [form(0, whole), form(1, RAMDISK), form(2, section), form(3, utf8('{"a":[1,{"b":null}]}'))];
}
