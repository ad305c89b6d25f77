import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { RUNTIME_COMMANDS } from "./runtime_commands.ts";
import { until } from "./until.ts";
import { WatchedRuns } from "./watched_run.ts";

const runtime = "Deno" in globalThis ? "Deno" : "Node";
const CHILD = fileURLToPath(new URL("./watched_child.ts", import.meta.url));

function command(task: string): string[] {
  return [...RUNTIME_COMMANDS[runtime] ?? [], CHILD, task];
}

/** @returns Whether a process runs: one that has ended may wait for its parent to notice */
function isRunning(pid: string): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

describe("WatchedRuns", () => {
  test("gives back the output and the exit code", async () => {
    using runs = new WatchedRuns();
    assert.deepEqual(
      await runs.run([process.execPath, "--no-such-option"]).then(({ code }) => code > 0),
      true,
    );
    const { code, output } = await runs.run(command("end"));
    assert.deepEqual([code, output, runs.hung], [3, "the end\n", []]);
  });

  test("ends a process that hangs after a test, with its children, and names the test", async () => {
    using runs = new WatchedRuns(500);
    const { code, output } = await runs.run(command("hang"));
    assert.equal(code, 1);
    assert.deepEqual(runs.hung, ["a.test.ts: after the first test"]);
    const child = /child (\d+)/.exec(output)?.[1];
    assert.ok(child !== undefined);
    await until(() => !isRunning(child));
  });

  test("ends a process that hangs before its first test, and names its command", async () => {
    using runs = new WatchedRuns(500);
    assert.equal((await runs.run(command("wait"))).code, 1);
    assert.match(runs.hung.join(), /watched_child\.ts wait: before its first test$/);
  });

  test("leaves alone a process that works or makes progress", async () => {
    using runs = new WatchedRuns(500);
    const outcomes = await Promise.all([runs.run(command("work")), runs.run(command("progress"))]);
    assert.deepEqual(outcomes.map(({ code }) => code), [0, 0]);
    assert.deepEqual(runs.hung, []);
  });
});
