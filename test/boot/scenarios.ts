import assert from "node:assert/strict";
import { closeSync, copyFileSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";
import { fileSource } from "../../deploy/eif/file_source.ts";
import { CRC_OFFSET, EIF_HEADER_BYTES } from "../../deploy/eif/format.ts";
import { measureImage, readImage } from "../../deploy/eif/read_image.ts";
import { nodeSha384 } from "../../deploy/eif/node_sha384.ts";
import { toHex } from "../../lib/core/bytes.ts";
import { ImageError } from "../../lib/core/errors.ts";
import type { Runtime } from "../../tools/bundle.ts";
import { expectBoot } from "./expect_boot.ts";
import type { BuiltImage } from "./images.ts";
import type { Lab } from "./lab.ts";

/** Goals for the size of an image with the server, in bytes. */
const MAX_BYTES: Readonly<Record<Runtime, number>> = { node: 160_000_000, deno: 130_000_000 };

/** Proof by boots; it returns a text for people. */
export type Scenario = (lab: Lab) => Promise<string>;

/** Scenarios by name, in the order in which they run. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  "server-node": (lab) => bootServer(lab, "node"),
  "server-deno": (lab) => bootServer(lab, "deno"),
  "sign-service-node": (lab) => bootSignService(lab, "node"),
  "sign-service-deno": (lab) => bootSignService(lab, "deno"),
  "flipped-byte": refuseFlippedBytes,
  "flipped-file": measureFlippedFile,
  "changed-config": measureChangedConfig,
};

/** Boots the server, signed on Node.js and not on Deno. */
async function bootServer(lab: Lab, runtime: Runtime): Promise<string> {
  const image = await serverImage(lab, runtime);
  assert.equal("8" in image.summary.pcrs, runtime === "node");
  const { bytes } = image.summary.image;
  assert.ok(bytes <= MAX_BYTES[runtime], `the image has ${bytes} bytes`);
  const boot = await lab.boot(image);
  assert.equal(boot.report.order.status, 404);
  return await expectBoot(boot, image);
}

async function bootSignService(lab: Lab, runtime: Runtime): Promise<string> {
  const image = await lab.signService(runtime);
  const boot = await lab.boot(image);
  assert.deepEqual(boot.report.order, { status: 200, isSigned: true });
  return await expectBoot(boot, image);
}

/** Flips a byte of each part of an image: neither the machine nor our own reader takes it. */
async function refuseFlippedBytes(lab: Lab): Promise<string> {
  const { path, summary } = await serverImage(lab, "node");
  await using source = await fileSource(path);
  const { sections } = await readImage(source);
  const places = [
    { part: "header", offset: 12 },
    ...sections.flatMap(({ type, offset, size }) => [
      { part: type, offset: offset + Math.floor(size / 2) },
      { part: `${type}, last byte`, offset: offset + size - 1 },
    ]),
  ];
  const copy = `${path}.flipped`;
  copyFileSync(path, copy);
  for (const { part, offset } of places) {
    flip(copy, offset);
    const { code, console, complaints } = await lab.run(copy, summary.image.leastMemoryMib);
    assert.equal(code, 1, `the machine took an image with another byte in its ${part}`);
    // The machine reads the signature before it compares the CRC.
    const complaint = part.startsWith("signature") ? /\S/ : /CRC mismatch/;
    assert.match(complaints, complaint, part);
    assert.equal(console, "", part);
    await assert.rejects(async () => {
      await using flipped = await fileSource(copy);
      return await measureImage(flipped, await readImage(flipped), nodeSha384);
    }, ImageError);
    flip(copy, offset);
  }
  return `refused in ${places.map(({ part }) => part).join("; ")}`;
}

/** Flips a byte of a file, with a CRC that fits: it boots, and is another image. */
async function measureFlippedFile(lab: Lab): Promise<string> {
  const image = await serverImage(lab, "deno");
  const bytes = readFileSync(image.path);
  const offset = bytes.indexOf("Apache License");
  assert.ok(offset > 0);
  bytes[offset]! ^= 1;
  const covered = crc32(bytes.subarray(EIF_HEADER_BYTES), crc32(bytes.subarray(0, CRC_OFFSET)));
  bytes.writeUInt32BE(covered, CRC_OFFSET);
  const path = `${image.path}.changed`;
  writeFileSync(path, bytes);
  await using source = await fileSource(path);
  const { pcrs } = await measureImage(source, await readImage(source), nodeSha384);
  const read = { 0: toHex(pcrs[0]), 1: toHex(pcrs[1]), 2: toHex(pcrs[2]) };
  expectOtherApplication(image, read);
  return await expectBoot(await lab.boot({ ...image, path }), image, read);
}

/** Changes one setting: PCR0 and PCR2 are others, and PCR1 is the same. */
async function measureChangedConfig(lab: Lab): Promise<string> {
  const before = await serverImage(lab, "deno");
  const after = await lab.server("deno", "server-deno-changed", { maxWaiting: 511 });
  expectOtherApplication(before, after.summary.pcrs);
  return await expectBoot(await lab.boot(after), after);
}

function expectOtherApplication({ summary }: BuiltImage, pcrs: Readonly<Record<string, string>>): void {
  assert.notEqual(pcrs["0"], summary.pcrs["0"]);
  assert.equal(pcrs["1"], summary.pcrs["1"]);
  assert.notEqual(pcrs["2"], summary.pcrs["2"]);
}

function serverImage(lab: Lab, runtime: Runtime): Promise<BuiltImage> {
  return lab.server(runtime, `server-${runtime}`, {}, runtime === "node" ? () => lab.signer() : undefined);
}

function flip(path: string, offset: number): void {
  const file = openSync(path, "r+");
  try {
    const byte = new Uint8Array(1);
    readSync(file, byte, 0, 1, offset);
    byte[0]! ^= 1;
    writeSync(file, byte, 0, 1, offset);
  } finally {
    closeSync(file);
  }
}
