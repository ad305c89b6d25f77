import assert from "node:assert/strict";
import { describe, test } from "#test";
import { ExportQueue, type QueueLimits } from "../../../../enclave/telemetry/export/export_queue.ts";

const BIG = 1 << 20;

function open(limits: Partial<QueueLimits>): ExportQueue {
  return new ExportQueue("traces", "", {
    ...{ maxItems: 100, maxBytes: BIG, batchItems: 10, batchBytes: BIG },
    ...limits,
  });
}

/** A queue of four items, and its first batch. */
function firstOf(limits: Partial<QueueLimits>): readonly string[] {
  const queue = open(limits);
  for (const item of ["aaaa", "bb", "cc", "d"]) queue.add(item, 1);
  return queue.first();
}

describe("ExportQueue", () => {
  test("is bounded in number and in size", () => {
    const few = open({ maxItems: 3 });
    assert.deepEqual(["a", "b", "c", "d"].map((item) => few.add(item, 1)), [true, true, true, false]);
    const small = open({ maxBytes: 10 });
    assert.deepEqual(["1234567", "8901", "890", "x"].map((item) => small.add(item, 1)), [
      ...[true, false, true, false],
    ]);
    assert.equal(small.bytes, 10);
    small.remove(1);
    assert.deepEqual([small.count, small.bytes, small.add("1234567", 1)], [1, 3, true]);
  });

  test("keeps a share free of what may take a part only", () => {
    const queue = open({ maxItems: 10 });
    const added = Array.from({ length: 8 }, () => queue.add("repeated", 0.5));
    assert.equal(added.filter(Boolean).length, 5);
    assert.equal(queue.add("own", 1), true);
    const bytes = open({ maxBytes: 20 });
    assert.deepEqual([bytes.add("12345678901", 0.5), bytes.add("12345678901", 1)], [false, true]);
  });

  test("gives the oldest in batches, at least one, and keeps them until they are removed", () => {
    assert.deepEqual(firstOf({ batchItems: 2 }), ["aaaa", "bb"]);
    assert.deepEqual(firstOf({ batchBytes: 6 }), ["aaaa", "bb"]);
    assert.deepEqual(firstOf({ batchBytes: 5 }), ["aaaa"]);
    assert.deepEqual(firstOf({ batchBytes: 1 }), ["aaaa"]);
    assert.deepEqual(firstOf({}), ["aaaa", "bb", "cc", "d"]);
    const queue = open({ batchItems: 3 });
    for (const item of ["aaaa", "bb", "cc", "d"]) queue.add(item, 1);
    queue.first();
    assert.equal(queue.count, 4);
    queue.remove(3);
    assert.deepEqual([queue.first(), queue.bytes], [["d"], 1]);
    queue.remove(1);
    assert.deepEqual([queue.first(), queue.bytes], [[], 0]);
  });

  test("has something to send when there is a batch, in number or in size, and no sooner", () => {
    const queue = open({ batchItems: 2 });
    const seen = ["a", "b", "c"].map((item) => queue.add(item, 1) && queue.isDue);
    assert.deepEqual(seen, [false, true, true]);
    queue.remove(2);
    assert.deepEqual([queue.isDue, queue.count], [false, 1]);
    const large = open({ batchBytes: 6 });
    assert.deepEqual(["12345", "6"].map((item) => large.add(item, 1) && large.isDue), [false, true]);
  });

  test("has all to send that waited at a flush, until it is removed, and nothing that came later", () => {
    const queue = open({});
    queue.flush();
    assert.equal(queue.isDue, false);
    for (const item of ["a", "b", "c"]) queue.add(item, 1);
    queue.flush();
    queue.add("later", 1);
    queue.remove(2);
    assert.equal(queue.isDue, true);
    queue.remove(1);
    assert.deepEqual([queue.isDue, queue.first()], [false, ["later"]]);
    queue.flush();
    queue.remove(1);
    assert.equal(queue.isDue, false);
  });
});
