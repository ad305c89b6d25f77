import assert from "node:assert/strict";
import {
  createReadStream,
  createWriteStream,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { afterEach, beforeEach, describe, test } from "#test";
import { decryptFile, decryptStream, encryptFile, encryptStream } from "../../../lib/envelope/mod.ts";
import { FakeKms, KEY_ARN } from "./fake_kms.ts";
import { decrypt, pattern } from "./streams.ts";

describe("encryptStream() and decryptStream(), between Node's streams,", () => {
  test("take a file there and back", async () => {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-envelope-"));
    const [from, to] = [join(folder, "plain"), join(folder, "copy")];
    writeFileSync(from, pattern(1_000_003));
    const kms = new FakeKms();
    await (Readable.toWeb(createReadStream(from)) as ReadableStream<Uint8Array>)
      .pipeThrough(encryptStream(kms, { keyId: KEY_ARN }))
      .pipeThrough(decryptStream(kms, { keyId: KEY_ARN }))
      .pipeTo(Writable.toWeb(createWriteStream(to)) as WritableStream<Uint8Array>);
    assert.deepEqual(new Uint8Array(readFileSync(to)), pattern(1_000_003));
    rmSync(folder, { recursive: true });
  });
});

describe("encryptFile() and decryptFile()", () => {
  let folder: string;
  const kms = new FakeKms();
  const path = (name: string) => join(folder, name);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "enclave-kms-envelope-"));
    writeFileSync(path("plain"), pattern(1_000_003));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test("take a file there and back, readable by its owner only", async () => {
    await encryptFile(kms, { from: path("plain"), to: path("sealed"), keyId: KEY_ARN });
    assert.deepEqual(await decrypt(readFileSync(path("sealed"))), pattern(1_000_003));
    writeFileSync(path("copy"), "older", { mode: 0o644 });
    await decryptFile(kms, { from: path("sealed"), to: path("copy"), keyId: KEY_ARN });
    assert.deepEqual(new Uint8Array(readFileSync(path("copy"))), pattern(1_000_003));
    for (const name of ["sealed", "copy"]) assert.equal(statSync(path(name)).mode & 0o777, 0o600, name);
    assert.deepEqual(readdirSync(folder).sort(), ["copy", "plain", "sealed"]);
  });

  test("leave what was there, and nothing else, when the message was cut short", async () => {
    await encryptFile(kms, { from: path("plain"), to: path("sealed"), keyId: KEY_ARN });
    writeFileSync(path("sealed"), readFileSync(path("sealed")).subarray(0, 900_000));
    writeFileSync(path("copy"), "older");
    const truncated = { code: "ERR_ENVELOPE_TRUNCATED" };
    await assert.rejects(
      decryptFile(kms, { from: path("sealed"), to: path("copy"), keyId: KEY_ARN }),
      truncated,
    );
    assert.equal(readFileSync(path("copy"), "utf8"), "older");
    assert.deepEqual(readdirSync(folder).sort(), ["copy", "plain", "sealed"]);
  });

  test("leave nothing when there is no such file, or no such folder", async () => {
    const missing = { code: "ENOENT" };
    await assert.rejects(encryptFile(kms, { from: path("none"), to: path("x"), keyId: KEY_ARN }), missing);
    await assert.rejects(encryptFile(kms, { from: path("plain"), to: path("a/x"), keyId: KEY_ARN }), missing);
    assert.deepEqual(readdirSync(folder), ["plain"]);
  });

  test("leave nothing when the signal aborts", async () => {
    const signal = AbortSignal.abort(new Error("no longer wanted"));
    const options = { from: path("plain"), to: path("x"), keyId: KEY_ARN, signal };
    await assert.rejects(encryptFile(kms, options), /no longer wanted/);
    assert.deepEqual(readdirSync(folder), ["plain"]);
  });

  test("check their options before they touch a file", async () => {
    const options = { from: path("plain"), to: path("x"), keyId: KEY_ARN, frameBytes: 1 };
    await assert.rejects(encryptFile(kms, options), RangeError);
    const noPath = (field: string) => ({ name: "TypeError", message: `${field} must be the path of a file` });
    for (const from of [3, undefined] as never[]) {
      await assert.rejects(encryptFile(kms, { ...options, from, frameBytes: 2048 }), noPath("from"));
    }
    await assert.rejects(decryptFile(kms, { from: path("plain"), to: "", keyId: KEY_ARN }), noPath("to"));
    assert.deepEqual(readdirSync(folder), ["plain"]);
  });
});
