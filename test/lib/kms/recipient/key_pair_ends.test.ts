import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { findLibcrypto } from "../../../../lib/native/libcrypto.ts";
import type { KeyPairEnd, KeyPairTask, KeyPairThread, KeyPairWork } from "../../../support/key_pair_task.ts";
import { RUNTIME_COMMANDS } from "../../../support/runtime_commands.ts";

const CHILD = fileURLToPath(new URL("../../../support/key_pair_child.ts", import.meta.url));

const runtime = "Deno" in globalThis ? "Deno" : "Node";
const { libcrypto, reason } = findLibcrypto();
const REASON = libcrypto === undefined ? ` (skipped: ${reason})` : "";

interface Expected {
  readonly code: number;
  readonly lines: readonly string[];
  readonly stderr?: RegExp;
}

const NOTHING = /^$/;
const UNCAUGHT = /RangeError: nobody catches this/;

/** Exit code of the program and the lines that it prints, by thread and end. */
const ENDS: Readonly<Record<KeyPairThread, Partial<Record<KeyPairEnd, Expected>>>> = {
  program: {
    done: { code: 0, lines: ["done"] },
    "process.exit": { code: 7, lines: ["ends"] },
    "uncaught error": { code: 1, lines: ["ends"], stderr: UNCAUGHT },
    ...runtime === "Deno" ? { "Deno.exit": { code: 7, lines: ["ends"] } } : {},
  },
  worker: {
    done: { code: 0, lines: ["done", "works after 0"] },
    "process.exit": { code: 0, lines: ["ends", "works after 7"] },
    "uncaught error": {
      code: 0,
      lines: ["ends", "error: nobody catches this", "works after 1"],
      // Deno prints what a worker throws, whoever listens.
      ...runtime === "Deno" ? { stderr: UNCAUGHT } : {},
    },
    terminate: { code: 0, lines: ["ends", "works after it"] },
    "process.exit of the program": { code: 7, lines: ["ends"] },
  },
  "web worker": runtime === "Node" ? {} : {
    done: { code: 0, lines: ["ends", "works after it"] },
    "process.exit": { code: 0, lines: ["ends", "works after it"] },
    terminate: { code: 0, lines: ["ends", "works after it"] },
    "process.exit of the program": { code: 7, lines: ["ends"] },
  },
};

const isSlow = process.env["SLOW"] === "1";

/**
 * Chooses what the thread works at. Clients are closed in the middle of it, whatever the end, and have a simulator beside
 * them: its key pairs of node:crypto abort Node.js 24 when a worker is terminated meanwhile.
 */
function worksFor(end: KeyPairEnd): readonly KeyPairWork[] {
  if (end === "done") return ["clients"];
  return ["key pairs and openings", ...isSlow ? ["key pairs", "openings"] as const : []];
}

const CASES: readonly (readonly [KeyPairTask, Expected])[] = Object.entries(ENDS).flatMap(([thread, ends]) =>
  Object.entries(ends).flatMap(([end, expected]) =>
    worksFor(end as KeyPairEnd).map((work) =>
      [{ thread, work, end } as KeyPairTask, expected as Expected] as const
    )
  )
);

describe.skipIf(libcrypto === undefined)(`key pairs of OpenSSL in a process that ends${REASON}`, () => {
  for (const [task, expected] of CASES) {
    test(`${task.work}: a ${task.thread} ends by ${task.end}`, async () => {
      const { code, signal, stdout, stderr } = await run(task);
      const lines = stdout.split("\n").filter((line) => line !== "");
      assert.deepEqual([code, signal, lines], [expected.code, null, expected.lines], stderr);
      assert.match(stderr, expected.stderr ?? NOTHING);
    });
  }
});

/** Runs the child to its end. One that never ends hangs its test, which the runner ends and names. */
async function run(task: KeyPairTask) {
  const [program = "", ...args] = RUNTIME_COMMANDS[runtime] ?? [];
  const child = spawn(program, [...args, CHILD, JSON.stringify(task)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1" },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Uint8Array) => stdout += String(chunk));
  child.stderr.on("data", (chunk: Uint8Array) => stderr += String(chunk));
  return await new Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>(
    (resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
    },
  );
}
