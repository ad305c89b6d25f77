import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { RUN_FILE } from "../../../sim/flow/world.ts";

const STORY = fileURLToPath(new URL("../../../sim/flow/story.ts", import.meta.url));

describe("npm run demo:flow", () => {
  test("tells its ten steps on this runtime, and checks what it tells", async () => {
    const [program = "", ...args] = [...RUN_FILE, STORY];
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Uint8Array) => stdout += String(chunk));
    child.stderr.on("data", (chunk: Uint8Array) => stderr += String(chunk));
    const [code] = await once(child, "close");
    assert.equal(code, 0, stderr);
    const steps = [...stdout.matchAll(/^ {2,3}(\d+)\. {2}\S/gm)].map(([, number]) => Number(number));
    assert.deepEqual(steps, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });
});
