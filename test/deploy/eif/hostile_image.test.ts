import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import { CPIO_TRAILER, cpioHeader, readCpio } from "../../../deploy/eif/cpio.ts";
import { decodeEifHeader, EIF_HEADER_BYTES, encodeEifHeader } from "../../../deploy/eif/format.ts";
import { bytesSource } from "../../../deploy/eif/image_source.ts";
import { measureImage, readImage } from "../../../deploy/eif/read_image.ts";
import { writeImage } from "../../../deploy/eif/write_image.ts";
import { concatBytes } from "../../../lib/core/bytes.ts";
import { ImageError } from "../../../lib/core/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-eif-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const text = (value: string) => new TextEncoder().encode(value);

/** An image of one small file. */
let image: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  const path = join(folder, "small.eif");
  await writeImage(path, {
    architecture: "aarch64",
    kernel: text("kernel"),
    commandLine: "quiet",
    metadata: {},
    ramdisks: [[{ path: "init", type: "file", mode: 0o755, content: text("#!") }]],
  });
  image = new Uint8Array(readFileSync(path));
});

/** Reads all that is read of an image. */
async function readAll(bytes: Uint8Array): Promise<void> {
  const source = bytesSource(bytes);
  const read = await readImage(source);
  await measureImage(source, read);
  for (const { type, offset, size } of read.sections) {
    if (type === "ramdisk") await Array.fromAsync(readCpio(source, offset, size));
  }
}

function withByte(at: number, value: number): Uint8Array {
  const changed = image.slice();
  changed[at] = value;
  return changed;
}

/** Places of one header's sections. */
function placesOf(bytes: Uint8Array) {
  return decodeEifHeader(bytes.subarray(0, EIF_HEADER_BYTES)).places;
}

/** The image with another header. */
function withHeader(changes: object): Uint8Array {
  const header = decodeEifHeader(image.subarray(0, EIF_HEADER_BYTES));
  return concatBytes([encodeEifHeader({ ...header, ...changes }), image.subarray(EIF_HEADER_BYTES)]);
}

describe("a hostile image", () => {
  test("the image itself is taken", async () => {
    await readAll(image);
  });

  test("cut at any byte is refused", async () => {
    for (let length = 0; length < image.length; length++) {
      await assert.rejects(readAll(image.subarray(0, length)), ImageError, `cut to ${length}`);
    }
  });

  test("with any bit flipped is refused, or says what it says: memory and processors are covered by the CRC", async () => {
    for (let at = 0; at < image.length; at++) {
      for (const bit of [0, 7]) {
        await assert.rejects(
          readAll(withByte(at, image[at]! ^ (1 << bit))),
          ImageError,
          `byte ${at}, bit ${bit}`,
        );
      }
    }
  });

  test("with something behind it is refused", async () => {
    await assert.rejects(readAll(concatBytes([image, [0]])), /1 bytes follow its last section/);
  });

  test("whose header and sections disagree is refused", async () => {
    const places = placesOf(image);
    const [first, ...others] = places;
    const shifted = [{ ...first!, offset: first!.offset + 1 }, ...others];
    await assert.rejects(
      readAll(withHeader({ places: shifted })),
      /section 0 begins at 549 by its header, and 548 is next/,
    );
    const longer = [{ ...first!, size: first!.size + 1 }, ...others];
    await assert.rejects(
      readAll(withHeader({ places: longer })),
      /section 0 has 6 bytes, and by the image's header 7/,
    );
    const overlapping = [...places, places.at(-1)!];
    await assert.rejects(readAll(withHeader({ places: overlapping })), /section 4 begins at/);
    await assert.rejects(
      readAll(withHeader({ places: places.slice(0, 3) })),
      /bytes follow its last section/,
    );
  });

  test("whose sizes overflow is refused", () => {
    const huge = image.slice(0, EIF_HEADER_BYTES);
    huge.fill(0xff, 28 + 256, 28 + 256 + 8);
    assert.throws(
      () => decodeEifHeader(huge),
      /the size of section 0 is 18446744073709551615, which no file has/,
    );
  });

  const sections = (...types: readonly number[]) => {
    const body = types.map((type) => concatBytes([[0, type, 0, 0], new Uint8Array(8)]));
    const places = types.map((_, index) => ({ offset: EIF_HEADER_BYTES + index * 12, size: 0 }));
    const header = { architecture: "x86_64", memoryBytes: 0, cpuCount: 0, places, crc32: 0 } as const;
    return concatBytes([encodeEifHeader(header), ...body]);
  };

  test("with sections that are missing, twice or in another order is refused", async () => {
    const [kernel, cmdline, ramdisk, signature, metadata] = [1, 2, 3, 4, 5] as const;
    const orders = [
      [],
      [kernel],
      [kernel, cmdline],
      [kernel, cmdline, metadata],
      [cmdline, kernel, ramdisk],
      [kernel, kernel, cmdline, ramdisk],
      [kernel, cmdline, cmdline, ramdisk],
      [kernel, cmdline, metadata, metadata, ramdisk],
      [kernel, cmdline, metadata, ramdisk, metadata],
      [kernel, cmdline, metadata, ramdisk, signature, signature],
      [kernel, cmdline, metadata, ramdisk, signature, ramdisk],
      [kernel, cmdline, signature, ramdisk],
      [kernel, ramdisk, cmdline],
    ];
    for (const order of orders) {
      await assert.rejects(readImage(bytesSource(sections(...order))), /its sections are/, String(order));
    }
    await assert.rejects(
      readImage(bytesSource(sections(kernel, cmdline, 6))),
      /section 2 is of type 6, which is none/,
    );
  });
});

describe("a hostile ramdisk", () => {
  const entry = (path: string, more: object = {}) =>
    cpioHeader({ path, type: "file", mode: 0o644, size: 0, ...more }, 1);
  const read = (...parts: readonly Uint8Array[]) => {
    const bytes = concatBytes(parts);
    return Array.fromAsync(readCpio(bytesSource(bytes), 0, bytes.length));
  };
  /** Replaces a field of a header: six bytes of magic, then fields of eight digits. */
  const patched = (header: Uint8Array, field: number, value: string) => {
    const changed = header.slice();
    changed.set(text(value), 6 + field * 8);
    return changed;
  };

  test("is refused", async () => {
    const cases: readonly (readonly [RegExp, readonly Uint8Array[]])[] = [
      [/no uncompressed cpio archive/, []],
      [/no uncompressed cpio archive/, [Uint8Array.of(0x1f, 0x8b, 8, 0)]],
      [/no uncompressed cpio archive/, [entry("a")]],
      [/no uncompressed cpio archive/, [patched(entry("a"), 6, "0000000x"), CPIO_TRAILER]],
      [/is no file, directory or symlink \(mode 20666\)/, [
        patched(entry("console"), 1, "000021B6"),
        CPIO_TRAILER,
      ]],
      [/is no file, directory or symlink/, [patched(entry("a"), 1, "FFFFFFFF"), CPIO_TRAILER]],
      [/is a link to another entry/, [patched(entry("a"), 4, "00000002"), CPIO_TRAILER]],
      [/is a directory with content/, [
        entry("a", { type: "directory", size: 4 }),
        new Uint8Array(4),
        CPIO_TRAILER,
      ]],
      [/ends within "a"/, [entry("a", { size: 0xffff_ffff }), CPIO_TRAILER]],
      [/a path has 4294967295 bytes/, [patched(entry("a"), 11, "FFFFFFFF"), CPIO_TRAILER]],
      [/a path has 0 bytes/, [patched(entry("a"), 11, "00000000"), CPIO_TRAILER]],
      [/does not end where it says/, [patched(entry("a\0b"), 11, "00000004"), CPIO_TRAILER]],
      [/not UTF-8/, [entry("a").map((byte) => byte === 0x61 ? 0xff : byte), CPIO_TRAILER]],
      [/something follows the trailer/, [CPIO_TRAILER, entry("a"), CPIO_TRAILER]],
    ];
    for (const [expected, parts] of cases) await assert.rejects(read(...parts), expected);
  });

  test("may end in zeros", async () => {
    assert.deepEqual((await read(entry("a"), CPIO_TRAILER, new Uint8Array(512))).map(({ path }) => path), [
      "a",
    ]);
  });
});
