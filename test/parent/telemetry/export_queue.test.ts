import assert from "node:assert/strict";
import { describe, test } from "#test";
import { ExportQueue } from "../../../parent/telemetry/export_queue.ts";

const [HOSTILE, HONEST] = [17, 18];

function item(bytes: number) {
  return { path: "/v1/logs", headers: {}, body: new Uint8Array(bytes) };
}

/** Takes room for an export of so many bytes, and fills it; tells whether there was room. */
function put(queue: ExportQueue, cid: number | undefined, bytes: number): boolean {
  using room = queue.reserve(cid, bytes);
  if (room === undefined || !room.grow(bytes)) return false;
  room.fill(item(bytes));
  return true;
}

describe("ExportQueue", () => {
  test("counts bytes when they come, and not when they are announced", () => {
    const queue = new ExportQueue({ maxCount: 64, maxBytes: 1000 });
    using first = queue.reserve(HOSTILE, 500);
    using second = queue.reserve(HOSTILE, 500);
    assert.deepEqual([first?.grow(1), second?.grow(2), queue.count, queue.bytes], [true, true, 2, 3]);
    assert.equal(queue.reserve(HOSTILE, 1000), undefined, "there is no room for those, ever");
  });

  test("leaves room to the next one, however many fill theirs", () => {
    const queue = new ExportQueue({ maxCount: 64, maxBytes: 10_000 });
    const taken = new Map<number, number>();
    for (let cid = 20; cid < 25; cid++) {
      while (put(queue, cid, 100)) taken.set(cid, (taken.get(cid) ?? 0) + 1);
    }
    assert.equal(taken.get(20), 32, "one alone has half");
    assert.equal(taken.size, 5);
    assert.ok(put(queue, HONEST, 100));
  });

  test("leaves bytes to the next one, too, and a body that outgrows its share has no room", () => {
    const queue = new ExportQueue({ maxCount: 64, maxBytes: 1000 });
    using endless = queue.reserve(HOSTILE, 0);
    let held = 0;
    while (endless?.grow(10)) held += 10;
    assert.equal(held, 500);
    assert.ok(put(queue, HONEST, 250));
    assert.equal(put(queue, HONEST, 1), false);
  });

  test("gives all of it back, whether it is read, waits or was sent", async () => {
    const queue = new ExportQueue({ maxCount: 8, maxBytes: 100 });
    {
      using room = queue.reserve(HOSTILE, 0);
      room?.grow(50);
      assert.equal(room?.grow(1), false);
    }
    assert.deepEqual([queue.count, queue.bytes], [0, 0]);
    for (let sent = 0; sent < 50; sent++) {
      assert.ok(put(queue, HOSTILE, 50));
      assert.equal(put(queue, HOSTILE, 1), false);
      (await queue.take(new AbortController().signal))?.leave();
    }
    assert.ok(put(queue, undefined, 50));
    assert.equal(queue.clear(), 1);
    assert.deepEqual([queue.count, queue.bytes], [0, 0]);
  });
});
