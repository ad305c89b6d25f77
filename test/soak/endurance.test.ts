import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "#test";
import { ENGINE_CASES, type EngineCase } from "../support/engines.ts";
import { growth } from "./growth.ts";
import { MAX_GROWTH_BYTES, soak, type SoakReport } from "./soak.ts";
import type { Footprint } from "./soak_task.ts";

const slow = process.env["SLOW"] === "1";
const runtime = "Deno" in globalThis ? "Deno" : "Node";

/** A whole cycle of the C client for each call: a tenth of a second, and one at a time. */
const CALLS = slow ? 10_000 : 1000;
const CLIENT_CALLS = 200;
const CONCURRENCY = 16;

/** The smallest leak that a run of so many calls is sure to see, in bytes a call: 137 with SLOW=1. */
const SMALLEST_LEAK = Math.ceil(1.3 * MAX_GROWTH_BYTES / CALLS);

/** The processes have no simulator in them: they need the device. */
const cases = ENGINE_CASES.filter(({ label }) => !label.includes("software"));

for (const engineCase of cases) {
  const { label, skip, speaksHttps } = engineCase;
  const hurried = !speaksHttps && !slow;
  const reason = hurried && !skip ? " (skipped: takes half a minute, SLOW=1 runs it)" : "";
  describe.skipIf(skip || hurried)(`endurance of engine ${label}${reason}`, () => {
    const calls = speaksHttps ? CALLS : CLIENT_CALLS;

    test(`${calls} decrypts: nothing grows, and every answer is its request's`, async () => {
      const { failures, footprints } = await soakOf(engineCase, calls);
      assert.deepEqual(failures, [], describeAll(footprints));
    }, 1_200_000);
  });
}

describe.skipIf(cases[0]!.skip)("endurance: what it sees", () => {
  test(
    `a leak of ${SMALLEST_LEAK} bytes a call, a descriptor left open, an answer of another request`,
    async () => {
      const { failures, footprints } = await soakOf(cases[0]!, CALLS, {
        nativeBytes: SMALLEST_LEAK,
        heapBytes: SMALLEST_LEAK,
        descriptorEvery: CALLS / 5,
        crossedCall: 100,
      });
      const all = describeAll(footprints);
      assert.ok(growth(footprints, ({ nativeBytes }) => nativeBytes) > MAX_GROWTH_BYTES, all);
      assert.ok(growth(footprints, ({ heapBytes }) => heapBytes) > MAX_GROWTH_BYTES, all);
      assert.match(
        failures.join("\n"),
        /^1 answers are wrong, the first one: call 100: .* not the plaintext$/m,
      );
      assert.match(failures.join("\n"), /^What it holds grew by \d+ KiB/m);
      assert.match(failures.join("\n"), /^[45] descriptors more$/m);
      assert.equal(failures.length, 3, failures.join("\n"));
    },
    1_200_000,
  );
});

function soakOf(
  engineCase: EngineCase,
  calls: number,
  sabotage?: Parameters<typeof soak>[0]["sabotage"],
): Promise<SoakReport> {
  return soak({ engineCase, runtime, calls, concurrency: CONCURRENCY, sabotage });
}

function describeAll(footprints: readonly Footprint[]): string {
  return footprints.map((footprint) => JSON.stringify(footprint)).join("\n");
}
