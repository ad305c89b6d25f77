import assert from "node:assert/strict";
import { describe, test } from "#test";
import { Metrics } from "../../../enclave/telemetry/metrics.ts";
import { renderParentMetrics } from "../../../parent/runner/parent_metrics.ts";
import type { ParentState } from "../../../parent/runner/parent_state.ts";
import { relayMetrics } from "../../../parent/runner/relay_metrics.ts";
import { PUSHED } from "./fake_parts.ts";

const NOTHING: ParentState = {
  stage: "launch",
  isReady: false,
  missing: [],
  launchCount: 0,
  failureCount: 0,
  enclave: undefined,
  credentials: undefined,
  lastFailure: undefined,
  lastEnd: undefined,
};

/** Lines of Prometheus's text format, as its parser wants them. */
const LINE =
  /^(?:# (?:HELP|TYPE) [a-z_]+ .+|[a-z_]+(?:\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})? (?:-?[\d.e+-]+|NaN|\+Inf))$/;

describe("renderParentMetrics()", () => {
  test("says only what was seen", () => {
    const text = renderParentMetrics(NOTHING, [], undefined);
    for (const line of text.trimEnd().split("\n")) assert.match(line, LINE);
    assert.ok(text.includes('\nenclave_kms_parent_stage{stage="launch"} 1\n'));
    assert.ok(text.includes("\nenclave_kms_parent_enclave_running 0\n"));
    assert.ok(text.includes("\nenclave_kms_parent_enclave_metrics_up 0\n"));
    for (const unknown of ["debug", "credentials_pushes", "last_failure", "exit_code"]) {
      assert.ok(!text.includes(unknown), unknown);
    }
  });

  test("tells of the enclave, the last failure, the last end and the services", () => {
    const state: ParentState = {
      ...NOTHING,
      stage: "watch",
      isReady: true,
      launchCount: 2,
      failureCount: 1,
      enclave: {
        id: "i",
        name: "app",
        cid: 16,
        cpuCount: 2,
        memoryMib: 512,
        isDebug: true,
        launchedAtMs: 2000,
      },
      credentials: PUSHED,
      lastFailure: { stage: "launch", atMs: 1000, code: "ERR_LAUNCH", message: "secret", hint: "h" },
      lastEnd: { atMs: 1500, reason: "r", exitCode: 7, wasAskedFor: false },
    };
    const service = {
      kind: "kms-proxy",
      address: 'a"\\b',
      counters: { openCount: 4 },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const text = renderParentMetrics(state, [service], { text: "", droppedCount: 2 });
    for (
      const line of [
        "enclave_ready 1",
        "enclave_debug 1",
        "launches_total 2",
        'last_failure_timestamp_seconds{stage="launch",code="ERR_LAUNCH"} 1',
        'enclave_last_end_timestamp_seconds{asked="false"} 1.5',
        "enclave_last_exit_code 7",
        "credentials_pushes_total 3",
        'service_open{service="kms-proxy",address="a\\"\\\\b"} 4',
        "enclave_metrics_dropped 2",
      ]
    ) assert.ok(text.includes(`\nenclave_kms_parent_${line}\n`), line);
    assert.ok(!text.includes("secret"));
  });
});

describe("relayMetrics()", () => {
  test("passes every line of an application's metrics, with the label", () => {
    const metrics = new Metrics();
    metrics.countRequest("http", "Decrypt", "ok", 0.1);
    const own = metrics.render();
    const { text, droppedCount } = relayMetrics(own, "app");
    assert.equal(droppedCount, 0);
    const samplesOf = (page: string) => page.split("\n").filter((line) => /^[a-z]/.test(line)).length;
    assert.equal(samplesOf(text), samplesOf(own));
    assert.ok(
      text.includes(
        '\nenclave_kms_requests_total{enclave="app",protocol="http",operation="Decrypt",outcome="ok"} 1\n',
      ),
    );
    assert.ok(
      text.includes('\nenclave_kms_request_seconds_bucket{enclave="app",operation="Decrypt",le="+Inf"} 1\n'),
    );
  });

  for (
    const [name, line] of Object.entries({
      "a sample in the parent's name": "enclave_kms_parent_enclave_ready 1",
      "a type in the parent's name": "# TYPE enclave_kms_parent_stage gauge",
      "a label of ours": 'a{enclave="other"} 1',
      "a label twice": 'a{b="1",b="2"} 1',
      "a time of its own": "a 1 1700000000000",
      "no value": "a",
      "a value that is none": "a one",
      "a label that is not closed": 'a{b="1} 1',
      "a line break in a label": 'a{b="1\\r"} 1',
      "another comment": "# EOF",
      "a control character": "a 1\u0000",
      "a control character in a label": 'a{b="\u0000"} 1',
      "a help with one": "# HELP a \u001b[31m",
      // Prometheus refuses a whole page for one of these.
      "a value that is too large": "a 1e309",
      "a label in the place of the name": 'a{__name__="enclave_kms_parent_enclave_ready"} 1',
      "a help with an escape that there is none of": "# HELP a \\q",
      "a help that ends in half an escape": "# HELP a b\\",
      "a bucket whose bound is no number": 'a_bucket{le="x"} 1',
      "a bucket whose bound is too large": 'a_bucket{le="1e309"} 1',
      "a quantile that is no number": 'a{quantile=""} 1',
      "a sample that was there without its empty label": 'good{b=""} 1',
      "Prometheus's own word on the target": "up 1",
      "an alert": 'ALERTS{alertname="a",alertstate="firing"} 1',
      "a name too long": `${"a".repeat(129)} 1`,
      "a line too long": `a{b="${"\\n".repeat(3000)}"} 1`,
    })
  ) {
    test(`leaves out ${name}`, () => {
      const { text, droppedCount } = relayMetrics(
        `# TYPE good counter\ngood 1\n${line}\ngood{x="y"} 2\n`,
        "app",
      );
      assert.equal(text, '# TYPE good counter\ngood{enclave="app"} 1\ngood{enclave="app",x="y"} 2\n');
      assert.equal(droppedCount, 1);
    });
  }

  test("passes a sample once, whatever the order of its labels, and keeps families together", () => {
    const { text, droppedCount } = relayMetrics(
      'a{x="1",y="2"} 1\nb 1\na{y="2",x="1"} 2\na 3\n# TYPE a gauge\n',
      "app",
    );
    assert.equal(text, 'a{enclave="app",x="1",y="2"} 1\na{enclave="app"} 3\nb{enclave="app"} 1\n');
    assert.equal(droppedCount, 2);
  });

  test("is bounded in samples and in length", () => {
    const many = Array.from({ length: 6000 }, (_, number) => `a{b="${number}"} 1`).join("\n");
    const { text, droppedCount } = relayMetrics(many, "app");
    assert.equal(text.trimEnd().split("\n").length, 5000);
    assert.equal(droppedCount, 1000);
    assert.deepEqual(relayMetrics("a 1\n".repeat(200_000), "app"), { text: "", droppedCount: 1 });
  });

  test("cannot be led out of the label by the name of the enclave", () => {
    assert.equal(relayMetrics("a 1", 'x"} 1\nb{y="').text, 'a{enclave="x___1_b_y__"} 1\n');
  });
});
