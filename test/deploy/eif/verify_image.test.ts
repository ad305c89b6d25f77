import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import { Crc32 } from "../../../deploy/eif/crc32.ts";
import {
  CRC_OFFSET,
  decodeEifHeader,
  EIF_HEADER_BYTES,
  encodeEifHeader,
} from "../../../deploy/eif/format.ts";
import { blobSource, bytesSource, type ImageSource } from "../../../deploy/eif/image_source.ts";
import { describeImage, diffImages } from "../../../deploy/eif/inspect_image.ts";
import { NODE_HASHES } from "../../../deploy/eif/node_sha384.ts";
import { verifyImage } from "../../../deploy/eif/verify_image.ts";
import { type ImageParts, writeImage } from "../../../deploy/eif/write_image.ts";
import { concatBytes } from "../../../lib/core/bytes.ts";
import { ImageError } from "../../../lib/core/errors.ts";
import { SoftwareNsm } from "../../../sim/nsm/nsm.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-verify-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ROLE = "arn:aws:iam::111122223333:role/enclave";
const text = (value: string) => new TextEncoder().encode(value);

const PARTS: ImageParts = {
  architecture: "x86_64",
  kernel: text("kernel"),
  commandLine: "quiet",
  metadata: { ImageName: "app" },
  ramdisks: [
    [{ path: "init", type: "file", mode: 0o755, content: text("#!") }],
    [{ path: "rootfs/app", type: "file", mode: 0o644, content: text("app") }],
  ],
};

async function write(changes: Partial<ImageParts> = {}): Promise<Uint8Array<ArrayBuffer>> {
  const path = join(folder, `${crypto.randomUUID()}.eif`);
  await writeImage(path, { ...PARTS, ...changes });
  return new Uint8Array(readFileSync(path));
}

let image: Uint8Array<ArrayBuffer>;
let pcrs: Readonly<Record<number, string>>;
beforeAll(async () => {
  image = await write();
  ({ pcrs } = await describeImage(bytesSource(image)));
});

/** Writes another header, and the CRC that goes with it. */
function withHeader(bytes: Uint8Array, changes: object): Uint8Array<ArrayBuffer> {
  const header = { ...decodeEifHeader(bytes.subarray(0, EIF_HEADER_BYTES)), ...changes };
  const crc = new Crc32();
  crc.update(encodeEifHeader(header).subarray(0, CRC_OFFSET));
  crc.update(bytes.subarray(EIF_HEADER_BYTES));
  return concatBytes([encodeEifHeader({ ...header, crc32: crc.value }), bytes.subarray(EIF_HEADER_BYTES)]);
}

describe("describeImage()", () => {
  test("says the same of bytes, a Blob, and by either hash, with its contents", async () => {
    const sources: readonly ImageSource[] = [bytesSource(image), blobSource(new Blob([image]))];
    const descriptions = await Promise.all(
      sources.flatMap((source) =>
        [undefined, NODE_HASHES].map((hashes) => describeImage(source, { contents: true, hashes }))
      ),
    );
    for (const description of descriptions) assert.deepEqual(description, descriptions[0]);
    const { architecture, bytes, isSigned, sections, metadata, contents } = descriptions[0]!;
    assert.deepEqual([architecture, bytes, isSigned, metadata], [
      ...["x86_64", image.length, false],
      { ImageName: "app" },
    ]);
    assert.deepEqual(sections.map(({ type }) => type), [
      "kernel",
      "cmdline",
      "metadata",
      "ramdisk",
      "ramdisk",
    ]);
    assert.deepEqual(contents?.map(({ place }) => place), [
      ...["kernel", "command line", "ramdisk 1, init", "ramdisk 2, rootfs", "ramdisk 2, rootfs/app"]
        .filter((place) => place !== "ramdisk 2, rootfs"),
    ]);
  });

  test("says the architecture by a flag, which nothing measures", async () => {
    const arm64 = await write({ architecture: "aarch64" });
    const described = await describeImage(bytesSource(arm64));
    assert.equal(described.architecture, "aarch64");
    assert.deepEqual(described.pcrs, pcrs);
    const rewritten = withHeader(image, { architecture: "aarch64" });
    assert.deepEqual(rewritten, arm64);
    assert.equal(arm64[7], 1);
    assert.deepEqual(
      rewritten.filter((byte, index) => byte !== image[index] && index < CRC_OFFSET),
      Uint8Array.of(1),
    );
    const unknown = image.slice();
    unknown[7] = 2;
    await assert.rejects(describeImage(bytesSource(unknown)), /its flags are 0x2/);
  });

  test("refuses metadata that nobody could write again", async () => {
    const deep = JSON.parse(`${"[".repeat(60)}${"]".repeat(60)}`);
    assert.deepEqual((await describeImage(bytesSource(await write({ metadata: deep })))).metadata, deep);
    const deeper = JSON.parse(`${"[".repeat(65)}${"]".repeat(65)}`);
    // What is written is read again, and by the same rules.
    await assert.rejects(write({ metadata: deeper }), /of its metadata, it is nested deeper than 64 levels/);
  });

  test("refuses a signature section that is longer than any", async () => {
    const sign = () => Promise.resolve(new Uint8Array(65_537));
    await assert.rejects(write({ sign }), /its signature has 65537 bytes, more than 65536/);
  });

  test("hashes an entry piece by piece, whatever length it claims", async () => {
    const large = new Uint8Array(3 * 1_048_576 + 5).fill(7);
    const bytes = await write({ ramdisks: [[{ path: "a", type: "file", mode: 0o644, content: large }]] });
    let longest = 0;
    const source = {
      size: bytes.length,
      read: (offset: number, length: number) => {
        longest = Math.max(longest, length);
        return Promise.resolve(bytes.subarray(offset, offset + length));
      },
    };
    await describeImage(source, { contents: true, hashes: NODE_HASHES });
    assert.equal(longest, 1_048_576);
  });
});

describe("diffImages()", () => {
  test("names what made the PCRs differ", async () => {
    const [, second] = PARTS.ramdisks;
    const next = await write({ ramdisks: [PARTS.ramdisks[0]!, [{ ...second![0]!, content: text("new") }]] });
    assert.deepEqual(await diffImages(bytesSource(image), bytesSource(next)), {
      pcrs: [0, 2],
      differences: [{ place: "ramdisk 2, rootfs/app", what: "has another content" }],
    });
    assert.deepEqual(await diffImages(bytesSource(image), bytesSource(image)), { pcrs: [], differences: [] });
  });
});

describe("verifyImage()", () => {
  const policy = (Condition: object, more: readonly object[] = []) => {
    const statement = { Effect: "Allow", Principal: { AWS: ROLE }, Action: "kms:Decrypt", Resource: "*" };
    return JSON.stringify({ Statement: [{ ...statement, Condition }, ...more] });
  };
  const verify = (expectation: Parameters<typeof verifyImage>[1]) =>
    verifyImage(bytesSource(image), expectation);

  test("compares with a summary", async () => {
    assert.deepEqual(await verify({ summary: JSON.stringify({ pcrs }) }), {
      isSame: true,
      pcrs,
      differences: [],
    });
    const { differences } = await verify({ summary: JSON.stringify({ pcrs: { ...pcrs, 2: pcrs[1] } }) });
    assert.deepEqual(differences, [`PCR2 is ${pcrs[2]}, and the summary has ${pcrs[1]}`]);
    const signed = await verify({ summary: JSON.stringify({ pcrs: { ...pcrs, 8: pcrs[1] } }) });
    assert.deepEqual(signed.differences, [
      `PCR8 is not there: the image is not signed, and the summary has ${pcrs[1]}`,
    ]);
  });

  test("compares with a document, its signer included", async () => {
    const measured = { 0: pcrs[0]!, 1: pcrs[1]!, 2: pcrs[2]! };
    using same = await SoftwareNsm.create({ pcrs: measured });
    assert.equal((await verify({ document: await same.attest() })).isSame, true);
    using signed = await SoftwareNsm.create({ pcrs: { ...measured, 8: pcrs[1]! } });
    const { differences } = await verify({ document: await signed.attest() });
    assert.deepEqual(differences, [`PCR8 is ${"0".repeat(96)}, and the document has ${pcrs[1]}`]);
  });

  test("compares with a policy, and with what it denies", async () => {
    const is = { StringEquals: { "kms:RecipientAttestation:PCR0": pcrs[0] } };
    assert.equal((await verify({ policy: policy(is), role: ROLE })).isSame, true);
    const other = { StringEquals: { "kms:RecipientAttestation:PCR0": pcrs[1] } };
    const { isSame, differences } = await verify({ policy: policy(other), role: ROLE });
    assert.deepEqual([isSame, differences[0]], [false, "the policy does not let the image decrypt"]);
    const denial = { Sid: "No", Effect: "Deny", Principal: "*", Action: "kms:*", Resource: "*" };
    assert.deepEqual((await verify({ policy: policy(is, [denial]), role: ROLE })).differences, [
      "the policy denies it: No",
    ]);
  });

  test("refuses an expectation that would compare nothing", async () => {
    const cases: readonly object[] = [
      {},
      { summary: "{}", policy: "{}" },
      { policy: policy({}) },
      { sumary: "{}" },
      { role: ROLE },
    ];
    for (const expectation of cases) await assert.rejects(verify(expectation), TypeError);
    await assert.rejects(verify({ summary: "{}" }), ImageError);
  });
});
