import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "#test";
import { LogOutput } from "../../../enclave/telemetry/log.ts";

describe("LogOutput", () => {
  let folder: string;
  let pipe: number;

  /** A pipe that nobody waits for: what does not fit into it is refused. */
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "enclave-kms-log-"));
    execFileSync("mkfifo", [join(folder, "fifo")]);
    pipe = openSync(join(folder, "fifo"), constants.O_RDWR | constants.O_NONBLOCK);
  });
  afterEach(() => {
    closeSync(pipe);
    rmSync(folder, { recursive: true });
  });

  const read = () => {
    const chunk = new Uint8Array(1 << 20);
    return new TextDecoder().decode(chunk.subarray(0, readSync(pipe, chunk)));
  };

  test("writes lines as they are", () => {
    const output = new LogOutput(pipe);
    output.write('{"msg":"one"}\n');
    output.write('{"msg":"two"}\n');
    assert.equal(read(), '{"msg":"one"}\n{"msg":"two"}\n');
  });

  test("loses what cannot be written, goes on, and says how many lines were lost", () => {
    const output = new LogOutput(pipe);
    for (let line = 0; line < 100; line++) output.write(`${"x".repeat(4095)}\n`);
    const written = read().split("\n").length - 1;
    assert.ok(written > 0 && written < 100, `${written} lines`);
    output.write('{"msg":"later"}\n');
    output.write('{"msg":"at last"}\n');
    const [empty, notice = "", ...lines] = read().split("\n");
    assert.equal(empty, "");
    assert.deepEqual({ ...JSON.parse(notice), time: "" }, {
      level: "warn",
      time: "",
      lost: 100 - written,
      msg: "lines of this log could not be written",
    });
    assert.deepEqual(lines, ['{"msg":"later"}', '{"msg":"at last"}', ""]);
  });

  test("a pipe whose reader has gone, and a disk that is full, throw nothing", () => {
    for (const open of [brokenPipe, () => openSync("/dev/full", "w")]) {
      const descriptor = open();
      try {
        const output = new LogOutput(descriptor);
        for (let line = 0; line < 3; line++) output.write("lost\n");
      } finally {
        closeSync(descriptor);
      }
    }
  });

  /** @returns The end for writing; that for reading is closed */
  function brokenPipe(): number {
    const path = join(folder, "broken");
    execFileSync("mkfifo", [path]);
    const reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    try {
      return openSync(path, "w");
    } finally {
      closeSync(reader);
    }
  }
});
