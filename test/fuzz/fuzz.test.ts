import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, test } from "#test";
import { halfOf, isDivided } from "../support/share.ts";
import { readInputs } from "./corpus.ts";
import type { FuzzTarget } from "./target.ts";
import { TARGETS } from "./targets/mod.ts";

const IS_DENO = "Deno" in globalThis;
/** Inputs of the guided run. */
const RUNS = process.env["SLOW"] === "1" ? 100_000 : 6000;
/** Seed of the random inputs: each runtime has its own where they share. */
const SEED = isDivided && IS_DENO ? 20_261_122 : 20_261_121;
/** A guided run under a loaded machine; some seconds of work. */
const PATIENCE_MS = 600_000;

describe("readers of what others send", () => {
  for (const target of TARGETS.keys()) {
    test(`${target.name}: every known input comes to what it came to before`, async () => {
      const known = [...readInputs("corpus", target.name), ...readInputs("regressions", target.name)];
      assert.ok(known.length > 0, "there is no corpus");
      for (const [index, { bytes, verdict }] of known.entries()) {
        const seen = await target.run(bytes.slice());
        if (!(IS_DENO && target.dependsOnRuntime === true)) assert.equal(seen, verdict, `input ${index}`);
      }
    });

    test(`${target.name}: whatever comes is read or refused, by the rules of its target`, async () => {
      await fc.assert(
        fc.asyncProperty(inputsFor(target), async (input) => {
          assert.equal(typeof await target.run(new Uint8Array(input)), "string");
        }),
        { numRuns: halfOf(400), seed: SEED },
      );
    });
  }
});

// Deno's node:inspector has no coverage to be guided by; what the guided runs found is in the corpus above.
describe.skipIf(IS_DENO)("the fuzzer (skipped on Deno: its inspector tells no coverage)", () => {
  test(`tries ${RUNS} inputs in all readers and finds nothing`, async () => {
    const { code, output } = await run("main.ts", "--runs", `${RUNS}`, "--seed", "1");
    assert.equal(code, 0, output);
    const rows = [...output.matchAll(/^(\w+) +(\d+) runs +(\d+) places .* 0 findings/gm)];
    assert.deepEqual(rows.map(([, name]) => name), [...TARGETS.keys()].map(({ name }) => name));
    assert.ok(rows.reduce((sum, [, , runs]) => sum + Number(runs), 0) >= RUNS);
    for (const [row, , , places] of rows) assert.ok(Number(places) > 5, `guided by nothing: ${row}`);
  }, PATIENCE_MS);

  test("finds a fault that is four steps away, and the shortest input for it", async () => {
    const { output } = await run("planted_child.ts", "guided");
    const found = JSON.parse(output);
    assert.equal(found.error, "RangeError: planted");
    assert.deepEqual(found.shortest, [0x46, 0x55, 0x5a, 0x21]);
    assert.ok(found.corpus >= 4, "it kept a step for each condition");
  }, PATIENCE_MS);

  test("finds what comes to something else the second time", async () => {
    const { output } = await run("planted_child.ts", "flaky");
    assert.match(JSON.parse(output).error, /^Finding: once call \d+, then call \d+$/);
  }, PATIENCE_MS);

  test("is ended by its watchdog when an input does not end, and leaves that input", async () => {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-fuzz-"));
    try {
      const path = join(folder, "input");
      const { code } = await run("planted_child.ts", "endless", path);
      assert.equal(code, null);
      assert.equal(readFileSync(path)[0], 0x46);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, PATIENCE_MS);
});

/** Generates known inputs with parts taken out, put in and changed, and random bytes. */
function inputsFor({ name, maxLength }: FuzzTarget): fc.Arbitrary<Uint8Array> {
  const known = readInputs("corpus", name).map(({ bytes }) => bytes);
  const places = fc.array(fc.tuple(fc.nat(), fc.nat(12), fc.uint8Array({ maxLength: 12 })), { maxLength: 4 });
  const changed = fc.tuple(fc.constantFrom(...known), places).map(([bytes, changes]) =>
    changes.reduce((input, [at, removed, added]) => {
      const start = at % (input.length + 1);
      return Uint8Array.from([...input.subarray(0, start), ...added, ...input.subarray(start + removed)]);
    }, bytes as Uint8Array).subarray(0, maxLength)
  );
  return fc.oneof({ arbitrary: changed, weight: 4 }, {
    arbitrary: fc.uint8Array({ maxLength: 300 }),
    weight: 1,
  });
}

function run(script: string, ...args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(process.execPath, [path, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (chunk) => (output += chunk));
  child.stderr.on("data", (chunk) => (output += chunk));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}
