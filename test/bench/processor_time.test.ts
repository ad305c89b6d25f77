import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "#test";
import { loopTimeMs, processorTimeMs } from "../../bench/processor_time.ts";

const WORKS = `const until = process.cpuUsage().user + 200_000;
while (process.cpuUsage().user < until);
console.log("worked");
process.stdin.resume();
`;

describe("processor time of a script", () => {
  test("is that of descendants that run it, and of no other process", async () => {
    const folder = await mkdtemp(join(tmpdir(), "enclave-kms-bench-"));
    const script = join(folder, "works.mjs");
    await writeFile(script, WORKS);
    const child = spawn("sh", ["-c", `node "$0"; true`, script], { stdio: ["pipe", "pipe", "inherit"] });
    try {
      await once(child.stdout, "data");
      assert.ok(processorTimeMs(process.pid, "/works.mjs") >= 200);
      assert.ok(processorTimeMs(child.pid ?? 0, "/works.mjs") >= 200);
      assert.equal(processorTimeMs(child.pid ?? 0, "/other.mjs"), 0);
      const loopMs = loopTimeMs(process.pid, "/works.mjs");
      assert.ok(loopMs >= 100, `${loopMs} ms`);
      assert.ok(loopMs <= processorTimeMs(process.pid, "/works.mjs"));
    } finally {
      child.stdin.end();
      await once(child, "close");
      await rm(folder, { recursive: true, force: true });
    }
    assert.equal(processorTimeMs(child.pid ?? 0, "/works.mjs"), 0);
  });
});
