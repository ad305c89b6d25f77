import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "#test";
import { crc32 } from "node:zlib";
import { readCpio } from "../../../deploy/eif/cpio.ts";
import { bytesSource } from "../../../deploy/eif/image_source.ts";
import { arrangeEntries, NO_CONTENT, type RamdiskEntry } from "../../../deploy/eif/ramdisk.ts";
import { measureImage, readImage } from "../../../deploy/eif/read_image.ts";
import { type ImageParts, writeImage } from "../../../deploy/eif/write_image.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-eif-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** PCR2 of every image with one ramdisk, as published in many places. */
const NO_APPLICATION = "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c" +
  "10edb30948c90ba67310f7b964fc500a";

const text = (value: string) => new TextEncoder().encode(value);
const file = (path: string, content: Uint8Array | string, mode = 0o644): RamdiskEntry => ({
  path,
  type: "file",
  mode,
  content: typeof content === "string" ? text(content) : content,
});

const PARTS: ImageParts = {
  architecture: "x86_64",
  kernel: text("a kernel"),
  commandLine: "reboot=k panic=30",
  metadata: { ImageName: "test", ImageVersion: "1" },
  ramdisks: [
    arrangeEntries([file("init", "#!init", 0o755), {
      path: "dev",
      type: "directory",
      mode: 0o755,
      content: NO_CONTENT,
    }]),
    arrangeEntries([
      file("rootfs/app/server.mjs", randomBytes(100_003)),
      { path: "rootfs/bin", type: "symlink", mode: 0o777, content: text("usr/bin") },
      file("cmd", "/bin/node\n"),
    ]),
  ],
};

/** Hashes as the hypervisor does. */
function pcr(...parts: readonly Uint8Array[]): string {
  const digest = createHash("sha384").update(Buffer.concat(parts)).digest();
  return createHash("sha384").update(Buffer.concat([new Uint8Array(48), digest])).digest("hex");
}

/** Sections of a file, by reading it as its specification says, in other words than the product's. */
function contentsOf(image: Buffer): Buffer[] {
  const count = image.readUInt16BE(26);
  return Array.from({ length: count }, (_, index) => {
    const offset = Number(image.readBigUInt64BE(28 + index * 8));
    const size = Number(image.readBigUInt64BE(28 + 256 + index * 8));
    return image.subarray(offset + 12, offset + 12 + size);
  });
}

describe("an image", () => {
  test("has the PCRs, the CRC and the hash that others compute of it", async () => {
    const path = join(folder, "a.eif");
    const written = await writeImage(path, PARTS);
    const image = readFileSync(path);
    const [kernel, commandLine, , first, second] = contentsOf(image) as [
      Buffer,
      Buffer,
      Buffer,
      Buffer,
      Buffer,
    ];
    assert.equal(hex(written.pcrs[0]), pcr(kernel, commandLine, first, second));
    assert.equal(hex(written.pcrs[1]), pcr(kernel, commandLine, first));
    assert.equal(hex(written.pcrs[2]), pcr(second));
    assert.equal(image.readUInt32BE(544), crc32(image.subarray(548), crc32(image.subarray(0, 544))));
    assert.equal(hex(written.sha384), createHash("sha384").update(image).digest("hex"));
    assert.equal(written.size, image.length);
  });

  test("with one ramdisk has the PCR2 of all of them", async () => {
    const path = join(folder, "one.eif");
    const { pcrs } = await writeImage(path, { ...PARTS, ramdisks: PARTS.ramdisks.slice(0, 1) });
    assert.equal(hex(pcrs[2]), NO_APPLICATION);
  });

  test("is read as it was written", async () => {
    const path = join(folder, "b.eif");
    const written = await writeImage(path, PARTS);
    const source = bytesSource(new Uint8Array(readFileSync(path)));
    const image = await readImage(source);
    assert.equal(image.commandLine, PARTS.commandLine);
    assert.deepEqual(image.metadata, PARTS.metadata);
    assert.equal(image.signature, undefined);
    assert.deepEqual(image.sections.map(({ type }) => type), [
      "kernel",
      "cmdline",
      "metadata",
      "ramdisk",
      "ramdisk",
    ]);
    assert.deepEqual(await measureImage(source, image), { pcrs: written.pcrs, sha384: written.sha384 });
    const { offset, size } = image.sections[4]!;
    const entries = await Array.fromAsync(readCpio(source, offset, size));
    assert.deepEqual(
      entries.map(({ path, type, mode, uid, gid, mtime }) => [path, type, mode, uid, gid, mtime]),
      [
        ["cmd", "file", 0o644, 0, 0, 0],
        ["rootfs", "directory", 0o755, 0, 0, 0],
        ["rootfs/app", "directory", 0o755, 0, 0, 0],
        ["rootfs/app/server.mjs", "file", 0o644, 0, 0, 0],
        ["rootfs/bin", "symlink", 0o777, 0, 0, 0],
      ],
    );
  });

  test("appears whole or not at all", async () => {
    const path = join(folder, "never.eif");
    const from = join(folder, "kernel");
    writeFileSync(from, "other");
    const wrong = { ...PARTS, kernel: { from, size: 5, sha256: "0".repeat(64) } };
    await assert.rejects(writeImage(path, wrong), {
      code: "ERR_IMAGE",
      message: /SHA-256 of .*kernel is d9298a10/,
    });
    await assert.rejects(
      writeImage(path, { ...PARTS, kernel: { from, size: 6 } }),
      /has 5 bytes, and 6 were expected/,
    );
    assert.deepEqual(readdirSync(folder).filter((name) => name.startsWith("never")), []);
  });
});

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
