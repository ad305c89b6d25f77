import assert from "node:assert/strict";
import { describe, test } from "#test";
import { waitForSuccessors } from "../../../parent/credentials/push_schedule.ts";

const MINUTE_MS = 60_000;

describe("waitForSuccessors()", () => {
  test("is so long before the expiration, and up to a tenth of that earlier at random", () => {
    assert.equal(waitForSuccessors(60 * MINUTE_MS, 10 * MINUTE_MS, 0), 50 * MINUTE_MS);
    assert.equal(waitForSuccessors(60 * MINUTE_MS, 10 * MINUTE_MS, 0.5), 49.5 * MINUTE_MS);
    for (let round = 0; round < 100; round++) {
      const waitMs = waitForSuccessors(60 * MINUTE_MS, 10 * MINUTE_MS);
      assert.ok(waitMs > 49 * MINUTE_MS && waitMs <= 50 * MINUTE_MS);
    }
    assert.equal(waitForSuccessors(30 * MINUTE_MS, 0, 0.5), 30 * MINUTE_MS);
  });

  test("is at most an hour, and a quarter of one without an expiration", () => {
    assert.equal(waitForSuccessors(6 * 60 * MINUTE_MS, 10 * MINUTE_MS, 0), 60 * MINUTE_MS);
    assert.equal(waitForSuccessors(8.64e15, 10 * MINUTE_MS, 0), 60 * MINUTE_MS);
    assert.equal(waitForSuccessors(undefined, 10 * MINUTE_MS, 0), 15 * MINUTE_MS);
    assert.ok(waitForSuccessors(undefined, 0, 0.99) > 13 * MINUTE_MS);
  });

  test("is half of the time of credentials that last less than twice as long", () => {
    assert.equal(waitForSuccessors(15 * MINUTE_MS, 10 * MINUTE_MS, 0), 7.5 * MINUTE_MS);
    assert.equal(waitForSuccessors(2, 10 * MINUTE_MS, 0), 1);
  });

  test("is none once they have expired", () => {
    for (const leftMs of [0, -1, -8.64e15]) assert.equal(waitForSuccessors(leftMs, MINUTE_MS, 0.5), 0);
  });
});
