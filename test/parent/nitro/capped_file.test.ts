import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "#test";
import { CappedFile } from "../../../parent/nitro/capped_file.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-capped-"));
afterAll(() => rmSync(folder, { recursive: true }));

const bytes = (text: string) => new TextEncoder().encode(text);

describe("CappedFile", () => {
  test("keeps the last bytes, in two files of bounded length that only the owner reads", () => {
    const path = join(folder, "log");
    using file = new CappedFile(path, 4);
    for (const part of ["ab", "cde", "fghijk", "l"]) file.write(bytes(part));
    assert.deepEqual([readFileSync(path, "utf8"), readFileSync(`${path}.1`, "utf8")], ["ijkl", "efgh"]);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(file.lostBytes, 0);
  });

  test("keeps the file of the run before", () => {
    const path = join(folder, "again");
    {
      using first = new CappedFile(path, 100);
      first.write(bytes("first"));
    }
    using second = new CappedFile(path, 100);
    second.write(bytes("second"));
    assert.deepEqual([readFileSync(path, "utf8"), readFileSync(`${path}.1`, "utf8")], ["second", "first"]);
  });

  test("counts what a full disk loses, and does not throw", () => {
    const gone = join(folder, "gone");
    const file = new CappedFile(gone, 4);
    file[Symbol.dispose]();
    file.write(bytes("ab"));
    assert.throws(() => new CappedFile("/none/log", 4));
    using full = new CappedFile(join(folder, "full"), 4);
    rmSync(join(folder, "full"));
    full.write(bytes("abcd"));
    full.write(bytes("e"));
    assert.equal(readFileSync(join(folder, "full"), "utf8"), "e");
  });
});
