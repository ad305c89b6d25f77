import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "#test";
import { ENGINE_CASES } from "../support/engines.ts";
import { shareOf } from "../support/share.ts";
import { growth } from "./growth.ts";
import { MAX_GROWTH_BYTES, soak, type SoakReport } from "./soak.ts";
import type { Control, Footprint } from "./soak_task.ts";

const slow = process.env["SLOW"] === "1";
const runtime = "Deno" in globalThis ? "Deno" : "Node";

/** A whole cycle of the C client for each call: a tenth of a second, and one at a time. */
const CALLS = slow ? 10_000 : 1000;
const CLIENT_CALLS = 200;
const CONCURRENCY = 16;

/**
 * Fewer will do: what is seen is how much more a process comes to hold over all of its calls, however many.
 */
const CONTROL_CALLS = slow ? CALLS : 200;

/** The smallest leak that so many calls are sure to show, in bytes a call: 137 with SLOW=1. */
const SMALLEST_LEAK = Math.ceil(1.3 * MAX_GROWTH_BYTES / CONTROL_CALLS);

/** The processes have no simulator in them: they need the device. */
const cases = ENGINE_CASES.filter(({ label }) => !label.includes("software"));

for (const engineCase of shareOf(cases)) {
  const { label, skip, speaksHttps } = engineCase;
  const hurried = !speaksHttps && !slow;
  const reason = hurried && !skip ? " (skipped: takes half a minute, SLOW=1 runs it)" : "";
  describe.skipIf(skip || hurried)(`endurance of engine ${label}${reason}`, () => {
    const calls = speaksHttps ? CALLS : CLIENT_CALLS;

    let report: SoakReport;

    test(`${calls} decrypts: nothing grows, and every answer is its request's`, async () => {
      const control = engineCase === cases[0] ? CONTROL : undefined;
      report = await soak({ engineCase, runtime, calls, concurrency: CONCURRENCY, control });
      assert.deepEqual(report.failures, [], describeAll(report.footprints));
    }, 1_200_000);

    if (engineCase !== cases[0]) return;

    test(
      `then it sees a leak of ${SMALLEST_LEAK} bytes a call, an open descriptor, another request's answer`,
      () => assertSeen(report.control!),
    );
  });
}

/** Faults of the process in the control run. */
const CONTROL: Control = {
  calls: CONTROL_CALLS,
  sabotage: {
    nativeBytes: SMALLEST_LEAK,
    heapBytes: SMALLEST_LEAK,
    descriptorEvery: CONTROL_CALLS / 5,
    crossedCall: 100,
  },
};

function assertSeen({ footprints, failures }: NonNullable<SoakReport["control"]>): void {
  const all = describeAll(footprints);
  assert.ok(growth(footprints, ({ nativeBytes }) => nativeBytes) > MAX_GROWTH_BYTES, all);
  assert.ok(growth(footprints, ({ heapBytes }) => heapBytes) > MAX_GROWTH_BYTES, all);
  assert.match(failures.join("\n"), /^1 answers are wrong, the first one: call 100: .* not the plaintext$/m);
  assert.match(failures.join("\n"), /^What it holds grew by \d+ KiB/m);
  assert.match(failures.join("\n"), /^[45] descriptors more$/m);
  assert.equal(failures.length, 3, failures.join("\n"));
}

function describeAll(footprints: readonly Footprint[]): string {
  return footprints.map((footprint) => JSON.stringify(footprint)).join("\n");
}
