/**
 * Metrics as data, and Prometheus's text format of them.
 *
 * @module
 */

/** Labels of one series, by name. */
export type Labels = Readonly<Record<string, string>>;

/** Value of one series. */
export type Sample = readonly [labels: Labels, value: number];

/** Distribution of one series. */
export interface Distribution {
  /** Labels of the series. */
  readonly labels: Labels;
  /** Number of values up to each bound and above the one before it; the last one is of values above all bounds. */
  readonly counts: readonly number[];
  /** Sum of all values. */
  readonly sum: number;
}

/** Name of a metric and its help. */
interface Named {
  /** Name without the prefix `enclave_kms_`. */
  readonly name: string;
  /** Help, one sentence. */
  readonly help: string;
}

/** Metric whose series have one value each. */
export interface ValueFamily extends Named {
  /** Whether the value only grows, from zero at the start. */
  readonly type: "counter" | "gauge";
  /** Series of the metric. */
  readonly samples: readonly Sample[];
}

/** Metric whose series are histograms. */
export interface HistogramFamily extends Named {
  /** Mark of a histogram. */
  readonly type: "histogram";
  /** Upper bounds of the buckets, in seconds. */
  readonly bounds: readonly number[];
  /** Series of the metric. */
  readonly distributions: readonly Distribution[];
}

/** Metric with all its series. */
export type MetricFamily = ValueFamily | HistogramFamily;

/** Prefix of every metric's name. */
export const METRIC_PREFIX = "enclave_kms_";

/**
 * Renders metrics in Prometheus's text format, version 0.0.4.
 *
 * @param families The metrics
 */
export function renderPrometheus(families: readonly MetricFamily[]): string {
  return families.map((family) => {
    const name = METRIC_PREFIX + family.name;
    const lines = family.type === "histogram"
      ? family.distributions.flatMap((one) => histogramLines(name, family.bounds, one))
      : family.samples.map(([labels, value]) => sampleLine(name, labels, value));
    return `# HELP ${name} ${family.help}\n# TYPE ${name} ${family.type}\n${lines.join("")}`;
  }).join("");
}

function histogramLines(name: string, bounds: readonly number[], { labels, counts, sum }: Distribution) {
  let count = 0;
  const buckets = counts.map((more, index) => {
    count += more;
    return sampleLine(`${name}_bucket`, { ...labels, le: String(bounds[index] ?? "+Inf") }, count);
  });
  return [...buckets, sampleLine(`${name}_sum`, labels, sum), sampleLine(`${name}_count`, labels, count)];
}

/** No label's value needs an escape: all come from lists of this package's own, or of the application's actions. */
function sampleLine(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${text}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}\n`;
}
