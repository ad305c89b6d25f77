import assert from "node:assert/strict";
import { describe, test } from "#test";
import { joinActions, joinOperations } from "../../../enclave/actions.ts";
import { Metrics, type Outcome, type Protocol } from "../../../enclave/telemetry/metrics.ts";
import { VERSION } from "../../../lib/core/version.ts";
import { relayMetrics } from "../../../parent/runner/relay_metrics.ts";

/** Samples of a metric, by their labels. */
function samplesOf(metrics: Metrics, name: string): Readonly<Record<string, number>> {
  const lines = metrics.render().split("\n").filter((line) => line.startsWith(name));
  return Object.fromEntries(lines.map((line) => {
    const [, labels = "", value] = /^\w+(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    return [labels, Number(value)];
  }));
}

describe("Metrics", () => {
  test("has a histogram for each operation, whose buckets add up", () => {
    const metrics = new Metrics();
    for (const seconds of [0.001, 0.0011, 0.3, 11]) metrics.countRequest("http", "Decrypt", "ok", seconds);
    metrics.countRequest("kmstool", "Decrypt", "denied", 0.25);
    metrics.countRequest("http", "Health", "ok", 0);
    const decrypt = (le: string) => `operation="Decrypt",le="${le}"`;
    const buckets = samplesOf(metrics, "enclave_kms_request_seconds_bucket");
    const of = (...bounds: string[]) => bounds.map((bound) => buckets[decrypt(bound)]);
    assert.deepEqual(of("0.001", "0.005", "0.1", "0.25", "0.5", "10", "+Inf"), [1, 2, 2, 3, 4, 4, 5]);
    assert.equal(buckets['operation="Health",le="0.001"'], 1);
    assert.deepEqual(samplesOf(metrics, "enclave_kms_request_seconds_count"), {
      'operation="Decrypt"': 5,
      'operation="Health"': 1,
    });
    const { 'operation="Decrypt"': sum = 0 } = samplesOf(metrics, "enclave_kms_request_seconds_sum");
    assert.ok(Math.abs(sum - 11.5521) < 1e-9, String(sum));
  });

  test("has no series for a name that a caller chose: operations, exceptions of KMS", () => {
    const metrics = new Metrics();
    const names = ['"} 1\nevil 1\n#', "__proto__", "constructor", "Decrypt2", "x".repeat(1000)];
    for (const name of names) {
      for (let number = 0; number < 50; number++) {
        metrics.countRequest("http", `${name}${number}`, "refused", 0.1);
        metrics.countKmsError(`${name}${number}`);
      }
      metrics.countKmsError(name);
    }
    metrics.countKmsError("ThrottlingException");
    assert.deepEqual(samplesOf(metrics, "enclave_kms_requests_total"), {
      'protocol="http",operation="Other",outcome="refused"': 250,
    });
    assert.deepEqual(samplesOf(metrics, "enclave_kms_kms_errors_total"), {
      'code="Other"': 255,
      'code="ThrottlingException"': 1,
    });
    assert.equal(Object.keys(samplesOf(metrics, "enclave_kms_request_seconds_count")).length, 1);
  });

  test("tells tries, decisions, KMS's clock and the build", () => {
    const metrics = new Metrics();
    metrics.observe({
      running: () => 0,
      credentials: () => ({ isSet: true, areRefused: false, generation: 1, heldCount: 1, ageSeconds: 12.5 }),
      clockOffset: () => -1.25,
    });
    metrics.countKmsRetry();
    metrics.countDecision(0.0002);
    assert.deepEqual(samplesOf(metrics, "enclave_kms_kms_retries_total"), { "": 1 });
    assert.deepEqual(samplesOf(metrics, "enclave_kms_clock_offset_seconds"), { "": -1.25 });
    assert.deepEqual(samplesOf(metrics, "enclave_kms_credentials_age_seconds"), { "": 12.5 });
    const policy = samplesOf(metrics, "enclave_kms_policy_seconds_bucket");
    assert.deepEqual([policy['le="0.0001"'], policy['le="0.00025"'], policy['le="+Inf"']], [0, 1, 1]);
    const [labels = ""] = Object.keys(samplesOf(metrics, "enclave_kms_build_info"));
    assert.match(labels, /^version="[\d.]+",runtime="(?:node|deno)",runtime_version="[\d.]+"$/);
    assert.ok(
      labels.includes(`version="${VERSION}"`),
    );
  });

  test("leaves out what is not known, but for its name", () => {
    const text = new Metrics().render();
    assert.match(text, /^# TYPE enclave_kms_clock_offset_seconds gauge$/m);
    assert.doesNotMatch(text, /^enclave_kms_(?:clock_offset_seconds|turns|credentials_age_seconds)\b/m);
    assert.match(text, /^enclave_kms_policy_seconds_count 0$/m);
  });

  test("all that an application with the most actions can count passes the parent whole", () => {
    const own = Array.from(
      { length: 128 - joinActions().length },
      (_, number) => `ActionOfTheApplication${number}`,
    );
    const operations = joinOperations(joinActions(own));
    const metrics = new Metrics(operations);
    const outcomes: Outcome[] = ["ok", "refused", "denied", "busy", "timeout", "gone", "failed"];
    for (const protocol of ["http", "kmstool"] satisfies Protocol[]) {
      for (const operation of [...operations, "Other"]) {
        for (const outcome of outcomes) metrics.countRequest(protocol, operation, outcome, 0.123456789);
      }
    }
    const text = metrics.render();
    const { droppedCount, text: relayed } = relayMetrics(text, "app");
    assert.equal(droppedCount, 0);
    assert.equal(samplesIn(relayed), samplesIn(text));
    assert.ok(samplesIn(text) > 3500, String(samplesIn(text)));
  });
});

function samplesIn(text: string): number {
  return text.split("\n").filter((line) => /^\w/.test(line)).length;
}
