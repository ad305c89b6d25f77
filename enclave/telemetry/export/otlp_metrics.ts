import { METRIC_PREFIX, type MetricFamily } from "../metric_family.ts";
import { attributesOf, nanos, quote } from "./otlp_values.ts";

/** Values since the start. */
const CUMULATIVE = '"aggregationTemporality":2,';

/** Beginning of the data by type. */
const KINDS = {
  counter: `"sum":{"isMonotonic":true,${CUMULATIVE}`,
  gauge: '"gauge":{',
  histogram: `"histogram":{${CUMULATIVE}`,
} as const;

/**
 * Writes metrics as JSON of OTLP, in ASCII, under the names that Prometheus has. Sums are since the start.
 *
 * @param families The metrics
 * @param startMs Start of the counters, in milliseconds since 1970
 * @param nowMs Time of the values, in milliseconds since 1970
 * @returns JSON objects, with commas between them
 */
export function encodeMetrics(families: readonly MetricFamily[], startMs: number, nowMs: number): string {
  const times = `"startTimeUnixNano":${nanos(startMs)},"timeUnixNano":${nanos(nowMs)}`;
  return families.map((family) => {
    const { name, help, type } = family;
    const points = pointsOf(family).map((point) => `{${times},"attributes":${point}}`);
    return `{"name":"${METRIC_PREFIX}${name}","description":${quote(help)},"unit":"${
      name.endsWith("_seconds") ? "s" : ""
    }",${KINDS[type]}"dataPoints":[${points.join()}]}}`;
  }).join();
}

function pointsOf(family: MetricFamily): string[] {
  if (family.type !== "histogram") {
    const [as, end] = family.type === "gauge" ? ['"asDouble":', ""] : ['"asInt":"', '"'];
    return family.samples.map(([labels, value]) => `${attributesOf(labels)},${as}${value}${end}`);
  }
  return family.distributions.map(({ labels, counts, sum }) =>
    `${attributesOf(labels)},"count":"${
      counts.reduce((all, one) => all + one)
    }","sum":${sum},"bucketCounts":["${counts.join('","')}"],"explicitBounds":[${family.bounds.join()}]`
  );
}
