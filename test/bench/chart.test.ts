import assert from "node:assert/strict";
import { barChart } from "../../bench/chart.ts";
import { describe, test } from "#test";

const PANEL = {
  title: "At 16 at once",
  bars: [
    { label: "subprocess", value: 10, series: "Node" },
    { label: "direct <warm> & quick", value: 1000, series: "Node" },
    { label: "sdk", value: 100, series: "Deno" },
  ],
};

const widths = (svg: string) =>
  [...svg.matchAll(/<rect x="346" y="[\d.]+" width="([\d.]+)"/g)].map(([, width]) => Number(width));

describe("chart", () => {
  test("barChart() draws a bar for each value, as long as its power of ten", () => {
    const [ten = 0, thousand = 0, hundred = 0, ...more] = widths(barChart([PANEL], "a second"));
    assert.deepEqual(more, []);
    assert.ok(Math.abs((thousand - hundred) - (hundred - ten)) < 0.2, `${ten}, ${hundred}, ${thousand}`);
    assert.ok(ten > 0 && thousand < 900);
  });

  test("barChart() gives each series its colour and a place in the legend", () => {
    const svg = barChart([PANEL], "a second");
    const colours = [...svg.matchAll(/height="18" fill="(#\w+)"/g)].map(([, colour]) => colour);
    assert.equal(colours[0], colours[1]);
    assert.notEqual(colours[0], colours[2]);
    for (const name of ["Node", "Deno"]) assert.ok(svg.includes(`>${name}</text>`), name);
  });

  test("barChart() escapes what is text, and is well-formed", () => {
    const svg = barChart([PANEL], "a second");
    assert.ok(svg.includes("direct &lt;warm&gt; &amp; quick"));
    assert.doesNotMatch(svg, /&(?!amp;|lt;|gt;|quot;)/);
    const open = [...svg.matchAll(/<(\w+)(?:\s[^>]*[^/>])?>/g)].map(([, name]) => name);
    const closed = [...svg.matchAll(/<\/(\w+)>/g)].map(([, name]) => name);
    assert.deepEqual(open.toSorted(), closed.toSorted());
  });

  test("barChart() writes values below ten to the hundredth, and a note below the bars", () => {
    const bars = [{ label: "direct", value: 1.15, series: "Node" }, {
      label: "tool",
      value: 95.4,
      series: "Node",
    }];
    const svg = barChart([{ title: "a", bars }], "ms", { note: "npm run bench" });
    const texts = [...svg.matchAll(/>([^<>]+)<\/text>/g)].map(([, text]) => text);
    assert.deepEqual(texts, ["Node", "a, ms", "direct", "1.15", "tool", "95", "npm run bench"]);
  });

  test("barChart() leaves out what was not measured", () => {
    const bars = [...PANEL.bars, { label: "nothing", value: NaN, series: "Deno" }];
    const svg = barChart([{ title: "a", bars }], "a second");
    assert.doesNotMatch(svg, /NaN|nothing/);
    assert.equal(widths(svg).length, 3);
  });
});
