import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "#test";
import { tryWriteAll, writeAll } from "../../../lib/core/write_all.ts";

const hasFull = existsSync("/dev/full");
const REASON = hasFull ? "" : " (skipped: there is no /dev/full)";

describe("writeAll() and tryWriteAll()", () => {
  let folder: string;
  let descriptor: number | undefined;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "enclave-kms-write-"));
  });
  afterEach(() => {
    if (descriptor !== undefined) closeSync(descriptor);
    descriptor = undefined;
    rmSync(folder, { recursive: true });
  });

  test("write every byte of text and of bytes, of any length", async () => {
    const path = join(folder, "file");
    descriptor = openSync(path, "w");
    await writeAll(descriptor, "");
    await writeAll(descriptor, "ä".repeat(5000));
    await writeAll(descriptor, new Uint8Array(9000).fill(0x62));
    assert.equal(tryWriteAll(descriptor, "c".repeat(4097)), true);
    assert.equal(readFileSync(path, "utf8"), `${"ä".repeat(5000)}${"b".repeat(9000)}${"c".repeat(4097)}`);
  });

  test.skipIf(!hasFull)(`a full disk is ENOSPC, or false${REASON}`, async () => {
    descriptor = openSync("/dev/full", "w");
    await assert.rejects(writeAll(descriptor, "x"), { code: "ENOSPC" });
    assert.equal(tryWriteAll(descriptor, "x"), false);
  });

  test("writeAll() waits for the reader of a pipe that does not block: nothing is lost or written twice", async () => {
    const path = join(folder, "fifo");
    execFileSync("mkfifo", [path]);
    const pipe = descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    const text = Array.from({ length: 30_000 }, (_, index) => `${index}\n`).join("");
    const writing = writeAll(pipe, text);
    assert.equal(tryWriteAll(pipe, "x".repeat(4096)), false, "there is no room for what must not wait");
    let read = "";
    while (read.length < text.length) {
      read += readSome(pipe);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await writing;
    assert.equal(read, text);
  });
});

/** Reads at most 3000 bytes; none when the pipe is empty. */
function readSome(pipe: number): string {
  const chunk = new Uint8Array(3000);
  try {
    return new TextDecoder().decode(chunk.subarray(0, readSync(pipe, chunk)));
  } catch (error) {
    if ((error as { code?: string }).code === "EAGAIN") return "";
    throw error;
  }
}
