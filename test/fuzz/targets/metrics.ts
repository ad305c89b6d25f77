import { MAX_METRICS_LENGTH, relayMetrics } from "../../../parent/runner/relay_metrics.ts";
import { dictionary, expect, expectSame, type FuzzTarget, utf8 } from "../target.ts";

/** Metrics of an enclave, or of what answers in its place. */
export const metrics: FuzzTarget = {
  name: "metrics",
  maxLength: 4096,
  covers: ["parent/runner/relay_metrics.ts"],
  dictionary: dictionary(
    ...[
      "# HELP a b",
      "# TYPE a ",
      "counter",
      "gauge",
      "histogram",
      "summary",
      "untyped",
      "a_bucket",
      "a_sum",
    ],
    ...[
      '{b="c"}',
      'le="+Inf"',
      'enclave="x"',
      "enclave_kms_parent_",
      "\n",
      "\\n",
      '\\"',
      "NaN",
      "+Inf",
      "1e9",
    ],
  ),
  seeds: () => Promise.resolve(SEEDS.map(utf8)),
  run(input) {
    const given = new TextDecoder().decode(input);
    const { text, droppedCount } = relayMetrics(given, "app");
    expect(text.length <= MAX_METRICS_LENGTH * 2, "it grew");
    const samples = new Set<string>();
    for (const line of text.split("\n").slice(0, -1)) checkLine(line, samples);
    expect(text === "" || text.endsWith("\n"), "a line is not ended");
    // What was relayed is relayed again, but for the label, which is nobody else's.
    expectSame(
      relayMetrics(text.replaceAll('{enclave="app",', "{").replaceAll('{enclave="app"}', ""), "app").text,
      text,
      "a second time",
    );
    return `${Math.min(samples.size, 2)} ${droppedCount > 0}`;
  },
};

/** Reads a line by other means than the relay. */
function checkLine(line: string, samples: Set<string>): void {
  expect(!/\p{Cc}/u.test(line), "a control character");
  expect(!/^(?:# (?:HELP|TYPE) )?enclave_kms_parent_/.test(line), "the parent's name");
  if (line.startsWith("# ")) return expect(/^# (?:HELP|TYPE) \S+ ?/.test(line), "a comment");
  const open = line.indexOf("{");
  const close = line.lastIndexOf("} ");
  expect(open > 0 && close > open, "no label");
  const labels = line.slice(open + 1, close);
  expect(labels.startsWith('enclave="app"'), "no label of the enclave");
  expect(
    !Number.isNaN(Number(line.slice(close + 2).replace("Inf", "Infinity").replace("NaN", "0"))),
    "no number",
  );
  const sample = line.slice(0, close);
  expect(!samples.has(sample), "a sample twice");
  samples.add(sample);
}

const SEEDS: readonly string[] = [
  '# HELP a Requests\n# TYPE a counter\na 1\na{b="c"} 2\n',
  '# TYPE h histogram\nh_bucket{le="0.1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 0.5\nh_count 2\n',
  'enclave_kms_parent_stage{stage="watch"} 1\nb{enclave="x"} 1\nc 1 1700000000\nd NaN\n',
  'e{x="1",y="\\\\ \\" \\n"} -1e-5\ne{y="1",x="2"} +Inf\n',
];
