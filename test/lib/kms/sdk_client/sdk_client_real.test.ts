import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { SUPERVISED_VARIABLE } from "../../../../sim/instruments.ts";
import { RUNTIME_COMMANDS } from "../../../support/runtime_commands.ts";

const CHILD = fileURLToPath(new URL("../../../support/sdk_client_child.ts", import.meta.url));
const PROCESSES = 4;
const ROUNDS = 10;

const library = process.env["ENCLAVE_KMS_SDK_LIBRARY"];
const skip = library === undefined || process.env[SUPERVISED_VARIABLE] === undefined;
const REASON = skip ? " (skipped: needs ENCLAVE_KMS_SDK_LIBRARY and npm test)" : "";
const runtime = "Deno" in globalThis ? "Deno" : "Node";

/** Operations of the C client. */
const OPERATIONS = ["decrypt", "encrypt", "generateDataKey", "generateRandom"];

/** Count of each outcome. */
type Tally = Record<string, number>;

describe.skipIf(skip)(`engine sdk-client over real C SDK${REASON}`, () => {
  for (const operation of OPERATIONS) {
    test(`${operation}: right or not at all; how often it takes its process along is printed`, async () => {
      const tally: Tally = {};
      for (let index = 0; index < PROCESSES; index++) await run(operation, tally);
      console.log(
        `${operation} of sdk-client over the real C SDK on ${runtime}, ${PROCESSES} processes of up to ${ROUNDS}:`,
        tally,
      );
      assert.ok((tally["right"] ?? 0) > 0);
      assert.equal(tally["wrong"], undefined);
      const unexpected = Object.keys(tally).filter((outcome) => !EXPECTED.includes(outcome));
      assert.deepEqual(unexpected, []);
    });
  }
});

/** A stalled call is a TimeoutError; a crash is a signal. */
const EXPECTED: readonly string[] = ["right", "ERR_TIMEOUT", "crashed"];

function run(operation: string, tally: Tally): Promise<void> {
  const [program = "", ...args] = RUNTIME_COMMANDS[runtime] ?? [];
  const child = spawn(program, [...args, CHILD, library ?? "", operation, String(ROUNDS)], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Uint8Array) => output += String(chunk));
  return new Promise((resolve) => {
    child.on("close", (code, signal) => {
      const outcomes = output.split("\n").filter((line) => line !== "");
      if (code !== 0 || signal !== null) outcomes.push("crashed");
      for (const outcome of outcomes) tally[outcome] = (tally[outcome] ?? 0) + 1;
      resolve();
    });
  });
}
