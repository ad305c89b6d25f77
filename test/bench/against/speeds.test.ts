import assert from "node:assert/strict";
import { describe, test } from "#test";
import type { Cost, Round } from "../../../bench/against/compare.ts";
import { judgeAgainst, type Speed, type SpeedRound, speedRows } from "../../../bench/against/speeds.ts";
import { formatTable } from "../../../bench/table.ts";

function cost(p50Ms: number, cpuMs: number): Cost {
  return { p50Ms, cpuMs };
}

function round(slowness: number): Round {
  return {
    this: { server: cost(1.4 * slowness, 0.8 * slowness), direct: cost(slowness, 0.5 * slowness) },
    other: { server: cost(2 * slowness, 1.5 * slowness), direct: cost(2 * slowness, slowness) },
  };
}

function speed(perSecond: number, delayP99Ms = NaN): Speed {
  return { perSecond, cpuMs: 1000 / perSecond, delayP99Ms };
}

function speeds(slowness: number, hasFloor = true): SpeedRound {
  const of = (own: number, other: number, floor: number) => ({
    this: speed(own / slowness),
    other: speed(other / slowness),
    ...hasFloor ? { floor: speed(floor / slowness) } : {},
  });
  return {
    decrypt: { this: speed(1500 / slowness, 4 * slowness), other: speed(1000 / slowness, 10 * slowness) },
    encryptStream: of(800, 100, 1600),
    decryptStream: of(700, 100, 1600),
    encryptInto: of(900, 100, 1600),
    decryptInto: of(600, 100, 1600),
    encryptMessage: of(10_000, 2000, 15_000),
    decryptMessage: of(9000, 2000, 15_000),
  };
}

function outcomes(hasFloor: boolean) {
  const goals = judgeAgainst(
    "Deno",
    [round(1), round(50), round(1)],
    [speeds(1), speeds(50), speeds(2)].map((one) => hasFloor ? one : speeds(1, false)),
  );
  return goals.map(({ goal, outcome }) => `${goal}: ${outcome}`);
}

describe("speeds of two checkouts", () => {
  test("are compared within rounds, so that a slow round changes no ratio", () => {
    const rows = speedRows("Node", [speeds(1), speeds(50), speeds(1)]);
    const own = rows.filter(({ under }) => under === "this");
    assert.deepEqual(own.map(({ ratio }) => ratio), [1.5, 8, 7, 9, 6, 5, 4.5]);
    assert.deepEqual(own.map(({ note }) => note), [
      "the loop is late by 4.0 ms, p99; 1.50 to 1.50",
      "8.00 to 8.00; 0.50 of bare EVP",
      "7.00 to 7.00; 0.44 of bare EVP",
      "9.00 to 9.00; 0.56 of bare EVP",
      "6.00 to 6.00; 0.38 of bare EVP",
      "5.00 to 5.00; 0.67 of bare EVP",
      "4.50 to 4.50; 0.60 of bare EVP",
    ]);
    assert.match(formatTable(rows), /encryptStream\(\), MB +Node +bare EVP/);
  });

  test("are judged by the bounds of the runtime", () => {
    assert.deepEqual(outcomes(true), [
      "direct on Deno, one at a time, p50 against the other: passed",
      "direct on Deno, one at a time, CPU against the other: passed",
      "event loop on Deno with 16 in flight, p99 against the other: passed",
      "the server's share on Deno, p50: passed",
      "the server's share on Deno, CPU: missed",
      "encryptStream(), MB, on Deno against the other: passed",
      "encryptStream(), MB, on Deno against bare EVP: passed",
      "decryptStream(), MB, on Deno against the other: missed",
      "decryptStream(), MB, on Deno against bare EVP: missed",
      "encryptStream() into the reader's memory, MB, on Deno against the other: passed",
      "encryptStream() into the reader's memory, MB, on Deno against bare EVP: passed",
      "decryptStream() into the reader's memory, MB, on Deno against the other: missed",
      "decryptStream() into the reader's memory, MB, on Deno against bare EVP: missed",
      "encryptMessage() on Deno against the other: passed",
      "encryptMessage() on Deno, time against bare EVP: passed",
      "decryptMessage() on Deno against the other: missed",
      "decryptMessage() on Deno, time against bare EVP: missed",
    ]);
  });

  test("are not measured against EVP where there is none", () => {
    const missing = outcomes(false).filter((text) => text.endsWith("not measured"));
    assert.equal(missing.length, 6);
    assert.ok(missing.every((text) => text.includes("bare EVP")));
    assert.ok(speedRows("Deno", [speeds(1, false)]).every(({ under }) => under !== "bare EVP"));
  });
});
