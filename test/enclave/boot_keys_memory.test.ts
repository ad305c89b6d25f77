import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { SIGNATURE_ALGORITHMS } from "../../lib/attestation/signature_message.ts";
import { revealBytes } from "../support/disguise.ts";
import { countInMemory } from "../support/memory_scan.ts";
import { RUNTIME_COMMANDS } from "../support/runtime_commands.ts";

const runtime = "Deno" in globalThis ? "Deno" : "Node";
const CHILD = fileURLToPath(new URL("../support/boot_keys_child.ts", import.meta.url));

/**
 * Copies that may be left. Deno's own export of the key, by which the test learns it, leaves one, and its making of keys
 * another now and then. WebCrypto there would leave two more for each of 50 signatures.
 */
const MOST_LEFT = { Node: 0, Deno: 3 }[runtime];

describe("the memory of an enclave that has closed", () => {
  for (const algorithm of SIGNATURE_ALGORITHMS) {
    test(`holds no private key of ${algorithm}, which it held before`, async () => {
      const [program = "", ...args] = RUNTIME_COMMANDS[runtime] ?? [];
      const child = spawn(program, [...args, CHILD], { stdio: ["pipe", "pipe", "inherit"] });
      try {
        const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
        const tell = async (line: string): Promise<number[]> => {
          child.stdin.write(`${line}\n`);
          return JSON.parse((await lines.next()).value as string) as number[];
        };
        const scalar = revealBytes(await tell(algorithm));
        // OpenSSL keeps numbers with the least word first.
        const needles = { written: scalar, reversed: scalar.toReversed() };
        const count = () =>
          Object.values(countInMemory(child.pid ?? 0, needles)).reduce((sum, one) => sum + one, 0);
        const held = count();
        assert.ok(held >= 1, "the search finds the key that is in use");
        await tell("close");
        const left = count();
        assert.ok(left < held && left <= MOST_LEFT!, `${left} of ${held} copies are left`);
      } finally {
        child.kill("SIGKILL");
      }
    });
  }
});
