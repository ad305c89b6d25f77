import assert from "node:assert/strict";
import { type BridgeFindings, bridgeRows, judgeBridges } from "../../bench/bridge/verdict.ts";
import { describe, test } from "#test";

const OURS = { cpuMsPerGib: 1000, gibPerSecond: 0.6, roundTripUs: 60 };
const SLOW = { cpuMsPerGib: 3200, gibPerSecond: 0.3, roundTripUs: 90 };
const FAST = { cpuMsPerGib: 600, gibPerSecond: 0.7, roundTripUs: 90 };

function findings(change: Partial<BridgeFindings> = {}): BridgeFindings {
  return {
    rounds: new Map([["Node", [OURS, OURS]], ["socat", [SLOW, SLOW]], ["socat -b 65536", [FAST, FAST]]]),
    idle: new Map([["Node", { kibEach: 12, lost: 0 }]]),
    idleCount: 4000,
    grpc: new Map([["direct", [200, 220]], ["Node", [280, 330]]]),
    ...change,
  };
}

describe("the verdict on bridges", () => {
  test("passes what is within all bounds", () => {
    const goals = judgeBridges(findings());
    assert.deepEqual(goals.map(({ outcome }) => outcome), new Array(8).fill("passed"));
    assert.deepEqual(goals.slice(0, 2).map(({ value }) => value), [1000 / 3200, 1000 / 600]);
  });

  test("names what is not", () => {
    const missed = (change: Partial<BridgeFindings>) =>
      judgeBridges(findings(change)).filter(({ outcome }) => outcome === "missed").map(({ goal }) => goal);
    assert.deepEqual(missed({ idle: new Map([["Node", { kibEach: 17, lost: 1 }]]) }), [
      "Node, lost of 4000 connections",
      "Node, memory of an idle connection",
    ]);
    assert.deepEqual(missed({ grpc: new Map([["direct", [200, 200]], ["Node", [290, 330]]]) }), [
      "Node, gRPC through both halves, p50 against direct",
    ]);
    const rounds = new Map(findings().rounds).set("Node", [{
      cpuMsPerGib: 1300,
      gibPerSecond: 0.4,
      roundTripUs: 120,
    }]);
    assert.deepEqual(missed({ rounds }), [
      "Node, CPU for a GiB against socat -b 65536",
      "Node, throughput against socat",
      "Node, throughput against socat -b 65536",
      "Node, round trip, p50 against socat",
    ]);
  });

  test("says why socat is missing, and judges nothing by it then", () => {
    const alone = findings({ rounds: new Map([["Node", [OURS]]]) });
    const outcomes = judgeBridges(alone).map(({ outcome }) => outcome);
    assert.deepEqual(outcomes, [...new Array(5).fill("not measured"), "passed", "passed", "passed"]);
    const notes = bridgeRows(alone, "not measured: socat is not installed").flatMap(({ note }) => note ?? []);
    assert.deepEqual(notes, ["not measured: socat is not installed"]);
    assert.equal(bridgeRows(findings(), undefined).length, 9);
  });
});
