import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";

const STORY = fileURLToPath(new URL("../../sim/demo_story.ts", import.meta.url));
const COMMAND = "Deno" in globalThis
  ? [process.execPath, "run", "--quiet", "--no-check", "--allow-all", STORY]
  : [process.execPath, STORY];

const hasFull = existsSync("/dev/full");
const REASON = hasFull ? "" : " (skipped: there is no /dev/full)";

describe("print()", () => {
  test.skipIf(!hasFull)(`the demo ends with a code of its own when nobody sees it${REASON}`, () => {
    const { status, stderr } = spawnSync("sh", ["-c", 'exec "$@" >/dev/full', "sh", ...COMMAND], {
      encoding: "utf8",
    });
    assert.deepEqual([status, stderr], [74, ""]);
  });
});
