import assert from "node:assert/strict";
import { afterAll, beforeAll, describe } from "#test";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../../support/engines.ts";
import type { End, ExitTask } from "../../support/exit_task.ts";
import { type Exit, runToExit } from "../../support/exit_process.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests("Deno");

const runtime = "Deno" in globalThis ? "Deno" : "Node";

const STALLS: Readonly<Record<string, string>> = {
  "sdk": "aws_attestation_request",
  "sdk-client": "aws_kms_decrypt_blocking",
};

/** The processes have no simulator in them: they need the device. */
const cases = ENGINE_CASES.filter(({ label }) => !label.includes("software"));

for (const engineCase of cases) {
  describe.skipIf(engineCase.skip)(`end of a process, engine ${engineCase.label}`, () => suite(engineCase));
}

function suite(engineCase: EngineCase): void {
  let enclave: Enclave;
  let ciphertext: string;

  beforeAll(async () => {
    enclave = await startEnclave();
    ciphertext = Buffer.from(await enclave.encryptUnderNewKey("hello")).toString("base64");
  });
  afterAll(() => enclave[Symbol.asyncDispose]());

  const run = (task: Pick<ExitTask, "end"> & Partial<ExitTask>, stall?: string) => {
    const options = enclave.optionsFor(engineCase);
    const stalls = stall !== undefined;
    return runToExit(
      runtime,
      { options, ciphertext, stalls, givesUp: true, closes: false, ...task },
      stall,
    );
  };

  for (const closes of [true, false]) {
    test(`ends by itself when its client was ${closes ? "" : "not "}closed`, async () => {
      const exit = await run({ end: "natural", closes });
      assertEnded(exit, 0);
      assert.deepEqual(exit.stdout, ["decrypted 5", "first exit handler 0", "last exit handler 0"]);
    });
  }

  const stall = engineCase.label.includes("double") ? STALLS[engineCase.engine] : undefined;
  if (stall !== undefined) {
    describe(`with ${stall} stalled for ever`, () => stalledSuite(engineCase, run, stall));
  }

  if (engineCase.engine !== "sdk-client") return;

  test("ends as ever with an open client", async () => {
    const asked = await run({ end: "process.exit" });
    assertEnded(asked, 7);
    assert.deepEqual(asked.stdout, ["decrypted 5", "first exit handler 7", "last exit handler 7"]);
    const failed = await run({ end: "uncaught error" });
    assertFailed(failed);
    // The runtime's own words.
    assert.match(failed.stderr, runtime === "Node" ? /\nNode\.js v/ : /^error: Uncaught RangeError/m);
  });
}

function stalledSuite(
  { engine }: EngineCase,
  run: (task: { end: End; givesUp?: boolean }, stall: string) => Promise<Exit>,
  stall: string,
): void {
  for (const givesUp of [true, false]) {
    test(`ends by process.exit ${givesUp ? "after it has given up" : "in the middle of the call"}`, async () => {
      const exit = await run({ end: "process.exit", givesUp }, stall);
      assertEnded(exit, 7);
      assert.deepEqual(exit.stdout.slice(-2), ["first exit handler 7", "last exit handler 7"]);
    });
  }

  test("ends by an uncaught error, and prints it", async () => {
    assertFailed(await run({ end: "uncaught error" }, stall));
  });

  test.skipIf(runtime !== "Deno")("ends by Deno.exit (skipped on Node)", async () => {
    assertEnded(await run({ end: "Deno.exit" }, stall), 7);
  });

  // On sdk a program that runs out of work waits for C, see guardExit(); the rest is the same.
  if (engine === "sdk") return;

  test("ends by itself once it has given up", async () => {
    const exit = await run({ end: "natural" }, stall);
    assertEnded(exit, 0);
    assert.deepEqual(exit.stdout, ["gave up: AbortError", "first exit handler 0", "last exit handler 0"]);
  });

  test("ends by an unhandled rejection, and prints it", async () => {
    assertFailed(await run({ end: "unhandled rejection" }, stall));
  });

  test("does not print an error that somebody caught", async () => {
    const exit = await run({ end: "caught error" }, stall);
    assertEnded(exit, 7);
    assert.doesNotMatch(exit.stderr, /RangeError/);
  });

  test("ends by an exit handler that throws, and prints its error", async () => {
    const exit = await run({ end: "throwing exit handler" }, stall);
    assertEnded(exit, 7);
    assert.match(exit.stderr, /RangeError: nobody catches this/);
  });
}

function assertEnded({ code, stdout, stderr }: Exit, expected: number): void {
  assert.equal(code, expected, [...stdout, stderr].join("\n"));
}

/** Deno runs no exit handlers after an error. */
function assertFailed(exit: Exit): void {
  assertEnded(exit, 1);
  assert.equal(exit.stderr.match(/RangeError: nobody catches this/g)?.length, 1, exit.stderr);
  if (runtime === "Node") {
    assert.deepEqual(exit.stdout.slice(-2), ["first exit handler 1", "last exit handler 1"]);
  }
}
