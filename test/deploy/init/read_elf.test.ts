import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { basename } from "node:path";
import process from "node:process";
import fc from "fast-check";
import { describe, test } from "#test";
import { fileSource } from "../../../deploy/eif/file_source.ts";
import { bytesSource } from "../../../deploy/eif/image_source.ts";
import { findLibraries } from "../../../deploy/init/find_libraries.ts";
import { readElf } from "../../../deploy/init/read_elf.ts";
import { ImageError } from "../../../lib/core/errors.ts";
import { makeElf } from "../../support/elf.ts";

const LOADER = "/lib64/ld-linux-x86-64.so.2";
const ELF = makeElf({ interpreter: LOADER, needed: ["libc.so.6", "libstdc++.so.6"] });
const read = (bytes: Uint8Array) => readElf(bytesSource(bytes), "node");
const hasLdd = existsSync("/usr/bin/ldd");
const SKIPPED = hasLdd ? "" : " (skipped: there is no ldd)";

describe("readElf()", () => {
  test("reads loader and libraries of programs, and the libraries of libraries", async () => {
    assert.deepEqual(await read(ELF), {
      architecture: "x86_64",
      interpreter: LOADER,
      needed: ["libc.so.6", "libstdc++.so.6"],
    });
    assert.deepEqual(await read(makeElf({ architecture: "aarch64", needed: ["a.so"] })), {
      architecture: "aarch64",
      interpreter: undefined,
      needed: ["a.so"],
    });
    assert.deepEqual((await read(makeElf({}))).needed, []);
  });

  test.skipIf(!hasLdd)(`finds what ldd finds of this runtime, and the loader${SKIPPED}`, async () => {
    const listed = execFileSync("ldd", [process.execPath], {
      encoding: "utf8",
      env: { PATH: "/usr/bin:/bin" }, // without libraries that LD_PRELOAD adds
    });
    const expected = [...listed.matchAll(/^\t(\S+)(?: => \S+)? \(/gm)].map(([, name = ""]) => basename(name))
      .filter((name) => !name.startsWith("linux-vdso"));
    await using source = await fileSource(process.execPath);
    const found = await findLibraries(await readElf(source, "runtime"), [], "/");
    assert.deepEqual(found.map(({ path }) => basename(path)).sort(), expected.sort());
    for (const { from } of found) assert.ok(existsSync(from), from);
  });

  test("refuses files that are none, or for another processor", async () => {
    const changed = (at: number, value: number) => {
      const bytes = ELF.slice();
      bytes[at] = value;
      return bytes;
    };
    const cases: readonly (readonly [Uint8Array, RegExp])[] = [
      [new TextEncoder().encode(`#!/bin/sh\nexec node "$@"\n${" ".repeat(64)}`), /it is no program in ELF/],
      [new Uint8Array(), /it is no program in ELF/],
      [changed(4, 1), /another processor/], // 32 bits
      [changed(5, 2), /another processor/], // big endian
      [changed(18, 8), /another processor/], // MIPS
      [changed(54, 32), /segments are malformed/],
      [changed(57, 255), /segments are malformed/],
      [changed(36, 1), /ends before its parts do/], // segments beyond 4 GiB
      [makeElf({ interpreter: "lib/ld.so" }), /path of its loader is none/],
      [makeElf({ interpreter: "/lib/../../ld.so" }), /path of its loader is none/],
      [makeElf({ interpreter: `/${"a".repeat(5000)}` }), /path of its loader is too long/],
      [makeElf({ needed: ["../libc.so.6"] }), /name of a library is none/],
      [makeElf({ needed: ["/etc/passwd"] }), /name of a library is none/],
      [makeElf({ needed: [".."] }), /name of a library is none/],
      [makeElf({ needed: [""] }), /name of a library is none/],
    ];
    for (const [bytes, message] of cases) {
      await assert.rejects(read(bytes), (error) => {
        assert.ok(error instanceof ImageError);
        assert.match(error.message, message);
        return true;
      }, String(message));
    }
  });

  test("refuses what is cut off, and survives what is changed", async () => {
    for (let length = 0; length < ELF.length; length++) {
      await assert.rejects(read(ELF.slice(0, length)), ImageError, `${length}`);
    }
    const change = fc.tuple(fc.nat(ELF.length - 1), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 8 }), async (changes) => {
        const bytes = ELF.slice();
        for (const [at, value] of changes) bytes[at] = value;
        try {
          const { needed } = await read(bytes);
          for (const name of needed) assert.match(name, /^[\w.+-]+$/);
        } catch (error) {
          assert.ok(error instanceof ImageError, String(error));
        }
      }),
      { numRuns: 3000 },
    );
  });
});
