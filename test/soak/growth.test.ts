import assert from "node:assert/strict";
import { describe, test } from "#test";
import { growth, liveBytes, rise } from "./growth.ts";
import { judge, MAX_GROWTH_BYTES, MAX_RESIDENT_GROWTH_BYTES } from "./soak.ts";
import type { Footprint } from "./soak_task.ts";

const TASK = { calls: 1000, warmUp: 100, samples: 10, concurrency: 4 };

describe("growth()", () => {
  test("of a straight line is what it rises by", () => {
    const run = runOf((sample) => ({ heapBytes: 1000 + 7 * sample }));
    assert.equal(growth(run, liveBytes), 70);
  });

  test("a jump that comes once, early, is none", () => {
    const run = runOf((sample) => ({ nativeBytes: sample === 0 ? 0 : 5_000_000 }));
    assert.equal(growth(run, liveBytes), 0);
  });

  test("one wild measurement changes little", () => {
    const line = (sample: number) => ({ heapBytes: 1000 * sample });
    const wild = runOf((sample) => sample === 9 ? { heapBytes: 1e9 } : line(sample));
    assert.equal(growth(wild, liveBytes), growth(runOf(line), liveBytes));
  });

  test("of an even number of slopes is between the two in the middle", () => {
    const values = [0, 1, 10, 30];
    const run = values.map((heapBytes, sample) => footprint(sample * 10, { heapBytes }));
    // Slopes 1, 5, 10, 9, 14.5 and 20 per ten calls: half of 9 + 10, over thirty calls.
    assert.ok(Math.abs(growth(run, liveBytes) - 28.5) < 1e-9);
  });

  test("counts V8's heap and C memory, not what is resident", () => {
    const run = runOf((sample) => ({
      heapBytes: sample,
      nativeBytes: 2 * sample,
      residentBytes: 9 * sample,
    }));
    assert.ok(Math.abs(growth(run, liveBytes) - 30) < 1e-9);
  });
});

describe("rise()", () => {
  test("is from the first to the highest", () => {
    const run = runOf((sample) => ({ threads: [4, 3, 9, 5][sample] ?? 4 }));
    assert.equal(rise(run, ({ threads }) => threads), 5);
  });
});

describe("judge()", () => {
  test("finds nothing wrong with a run that stays flat", () => {
    assert.deepEqual(judge(runOf(() => ({})), TASK), []);
    assert.deepEqual(judge(runOf((sample) => ({ heapBytes: sample * MAX_GROWTH_BYTES / 10 })), TASK), []);
  });

  const steep = (most: number) => (sample: number) => 1.01 * most * sample / 10;
  const cases: Readonly<Record<string, readonly [(sample: number) => Partial<Footprint>, string]>> = {
    "a heap that grows": [
      (sample) => ({ heapBytes: steep(MAX_GROWTH_BYTES)(sample) }),
      "What it holds grew by 1034 KiB, 1059.06 bytes a call",
    ],
    "C memory that grows": [
      (sample) => ({ nativeBytes: steep(MAX_GROWTH_BYTES)(sample) }),
      "What it holds grew by 1034 KiB, 1059.06 bytes a call",
    ],
    "resident memory that grows": [
      (sample) => ({ residentBytes: steep(MAX_RESIDENT_GROWTH_BYTES)(sample) }),
      "Resident memory grew by 24822 KiB",
    ],
    "threads that stay": [(sample) => ({ threads: 4 + sample }), "10 threads more"],
    "descriptors that stay": [(sample) => ({ files: 20 + sample }), "10 descriptors more"],
    "more sockets than calls": [(sample) => ({ sockets: 3 + sample }), "13 sockets at once"],
    "a wrong answer": [
      () => ({
        outcomes: { decrypted: 1000, refused: 99, abandoned: 0, wrong: 1, firstWrong: "call 7: no" },
      }),
      "1 answers are wrong, the first one: call 7: no",
    ],
    "a lost answer": [
      () => ({ outcomes: { decrypted: 1000, refused: 99, abandoned: 0, wrong: 0 } }),
      "Of 1100 calls some were never answered",
    ],
    "a run without refusals": [
      () => ({ outcomes: { decrypted: 1100, refused: 0, abandoned: 0, wrong: 0 } }),
      "1100 plaintexts and 0 refusals prove little",
    ],
  };
  for (const [name, [change, failure]] of Object.entries(cases)) {
    test(`finds ${name}`, () => assert.deepEqual(judge(runOf(change), TASK), [failure]));
  }

  test("finds measurements that are missing", () => {
    assert.deepEqual(judge(runOf(() => ({})).slice(1), TASK), ["10 measurements"]);
  });
});

function runOf(change: (sample: number) => Partial<Footprint>): Footprint[] {
  return Array.from({ length: TASK.samples + 1 }, (_, sample) => footprint(sample * 100, change(sample)));
}

function footprint(calls: number, change: Partial<Footprint>): Footprint {
  return {
    calls,
    heapBytes: 0,
    nativeBytes: 0,
    residentBytes: 0,
    threads: 4,
    sockets: 5,
    files: 20,
    outcomes: { decrypted: 1000, refused: 90, abandoned: 10, wrong: 0 },
    ...change,
  };
}
