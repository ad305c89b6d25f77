import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { revealBytes } from "../../support/disguise.ts";
import { countInMemory } from "../../support/memory_scan.ts";
import { RUNTIME_COMMANDS } from "../../support/runtime_commands.ts";

const runtime = "Deno" in globalThis ? "Deno" : "Node";
/**
 * Copies that may be left. Deno's TLS takes keys as strings only, and reads one for each connection: nobody can wipe
 * them. docs/security-model.md says so.
 */
const MOST_LEFT = { Node: 0, Deno: 12 }[runtime];
const CHILD = fileURLToPath(new URL("../../support/tls_keys_child.ts", import.meta.url));

describe("the memory of an enclave that dropped the key of its TLS", () => {
  test("holds none of it on Node, once the runtime has collected, and little on Deno", async () => {
    const [program = "", ...args] = RUNTIME_COMMANDS[runtime] ?? [];
    const child = spawn(program, [...args, CHILD], { stdio: ["pipe", "pipe", "inherit"] });
    try {
      const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
      const tell = async (line: string): Promise<number[]> => {
        child.stdin.write(`${line}\n`);
        return JSON.parse((await lines.next()).value as string) as number[];
      };
      const scalar = revealBytes(await tell("make"));
      // As a number of OpenSSL's, the least word first, and inside PEM, at each of base64's three offsets.
      const needles: Record<string, Uint8Array> = { written: scalar, reversed: scalar.toReversed() };
      for (let shift = 0; shift < 3; shift++) {
        const text = Buffer.from([...new Uint8Array(shift), ...scalar]).toString("base64");
        needles[`base64 ${shift}`] = Buffer.from(text.slice(4, -4));
      }
      const count = () =>
        Object.values(countInMemory(child.pid ?? 0, needles)).reduce((sum, one) => sum + one, 0);
      const held = count();
      assert.ok(held >= 2, "the search finds the key that is in use");
      await tell("drop");
      const dropped = count();
      // Deno has no way to free what TLS holds, and so it waits there to be collected.
      assert.ok(runtime === "Deno" || dropped < held, `${dropped} of ${held} copies are left after dispose`);
      await tell("collect");
      const left = count();
      assert.ok(left < held && left <= MOST_LEFT!, `${left} of ${held} copies are left`);
    } finally {
      child.kill("SIGKILL");
    }
  });
});
