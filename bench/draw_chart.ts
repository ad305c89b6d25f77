/**
 * `node bench/draw_chart.ts`: draws the chart that README.md shows, from the published run.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { barChart } from "./chart.ts";
import { PUBLISHED, type PublishedRun } from "./published.ts";

/** Place of the chart, from the repository's root. */
export const CHART = "docs/decrypt.svg";

/**
 * Draws the latency of one decrypt at a time.
 *
 * @param run Numbers, and where they come from
 * @returns An SVG document
 */
export function drawChart({ date, machine, rows }: PublishedRun): string {
  const bars = rows.flatMap(({ label, node, deno }) => [
    { label, value: node, series: "Node.js" },
    { label: "", value: deno, series: "Deno" },
  ]);
  return barChart([{ title: "One decrypt at a time, median", bars }], "ms (shorter is better, log scale)", {
    note: `npm run bench, ${date}: ${machine}`,
  });
}

if (import.meta.main) writeFileSync(CHART, drawChart(PUBLISHED));
