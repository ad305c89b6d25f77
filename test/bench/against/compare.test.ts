import assert from "node:assert/strict";
import { describe, test } from "#test";
import { comparisonOf, type Cost, type Round } from "../../../bench/against/compare.ts";
import { formatTable } from "../../../bench/table.ts";

function cost(p50Ms: number, cpuMs: number): Cost {
  return { p50Ms, cpuMs };
}

function round(slowness: number): Round {
  return {
    this: { server: cost(1.5 * slowness, 1.2 * slowness), direct: cost(slowness, 0.9 * slowness) },
    other: { server: cost(2 * slowness, 1.5 * slowness), direct: cost(slowness, 0.9 * slowness) },
  };
}

describe("a comparison of two checkouts", () => {
  const rows = comparisonOf("Node", [round(1), round(3), round(100)]);

  test("tells the server, the client and the difference of both, of each checkout", () => {
    assert.deepEqual(rows.map(({ what, under }) => `${what}: ${under}`), [
      "server over a unix socket: other",
      "server over a unix socket: this",
      "direct, warm: other",
      "direct, warm: this",
      "the server's share: other",
      "the server's share: this",
    ]);
    const [, , , , other, own] = rows;
    assert.equal(other?.p50, 3);
    assert.equal(own?.p50, 1.5);
  });

  test("takes the ratios of paths within rounds, so that a slow round changes none", () => {
    const [, server] = rows;
    assert.equal(server?.ratio, 0.75);
    assert.equal(server?.note, "p50: 0.75 to 0.75; CPU ratio 0.80: 0.80 to 0.80");
    assert.match(formatTable(rows), /server over a unix socket +Node +this .*0\.750 +other +p50: 0\.75 to/);
  });

  test("takes the ratio of the share from its medians, so that a round without a share changes none", () => {
    const slowClient = { server: cost(2, 2), direct: cost(2, 2) };
    const own = comparisonOf("Node", [round(1), { this: slowClient, other: slowClient }, round(1)]).at(-1);
    assert.equal(own?.ratio, 0.5);
    assert.equal(own?.note, "CPU ratio 0.50");
  });
});
