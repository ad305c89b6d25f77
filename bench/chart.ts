/** One bar. */
export interface Bar {
  readonly label: string;
  /** Above 0; what is not is left out. */
  readonly value: number;
  /** Decides on the colour. */
  readonly series: string;
}

/** Bars that are compared, under a title. */
export interface Panel {
  readonly title: string;
  readonly bars: readonly Bar[];
}

const WIDTH = 900;
const LABEL_WIDTH = 330;
const VALUE_WIDTH = 90;
const BAR_HEIGHT = 18;
const ROW_HEIGHT = 23;
const TITLE_HEIGHT = 40;
const PADDING = 16;
const COLOURS = ["#2f6db3", "#2e9e6b", "#b36b2f", "#7a4fb3"];
const STYLE = "text{font:13px system-ui,sans-serif;fill:#222}.title{font-weight:600}" +
  ".note{font-size:11px;fill:#666}";

/**
 * Bars on a scale of powers of ten, for what differs by orders of magnitude.
 *
 * @param panels One below the other, on the same scale
 * @param unit Unit of the values
 * @param options A line below the bars, such as where the values come from
 * @returns An SVG document
 */
export function barChart(
  panels: readonly Panel[],
  unit: string,
  options: { readonly note?: string } = {},
): string {
  const shown = panels.map(({ title, bars }) => ({ title, bars: bars.filter(({ value }) => value > 0) }));
  const values = shown.flatMap(({ bars }) => bars.map(({ value }) => value));
  const scale = makeScale(values);
  const series = [...new Set(shown.flatMap(({ bars }) => bars.map((bar) => bar.series)))];
  const parts = [legend(series)];
  let top = PADDING + TITLE_HEIGHT / 2;
  for (const panel of shown) {
    parts.push(drawPanel(panel, top, scale, series, unit));
    top += TITLE_HEIGHT + panel.bars.length * ROW_HEIGHT;
  }
  if (options.note !== undefined) parts.push(text(PADDING, top += ROW_HEIGHT, options.note, "note"));
  const height = top + PADDING;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" ` +
    `height="${height}" role="img"><style>${STYLE}</style><rect width="100%" height="100%" fill="#fff"/>\n` +
    `${parts.join("\n")}\n</svg>\n`;
}

/** Makes a scale from the power of ten below the smallest value to the largest value. */
function makeScale(values: readonly number[]): (value: number) => number {
  const low = Math.floor(Math.log10(Math.min(...values)) - 0.01);
  const high = Math.max(Math.log10(Math.max(...values)), low + 1);
  const width = WIDTH - LABEL_WIDTH - VALUE_WIDTH - 2 * PADDING;
  return (value) => Math.max(1, (Math.log10(value) - low) / (high - low) * width);
}

function drawPanel(
  { title, bars }: Panel,
  top: number,
  scale: (value: number) => number,
  series: readonly string[],
  unit: string,
): string {
  const heading = text(PADDING, top + TITLE_HEIGHT - 14, `${title}, ${unit}`, "title");
  const rows = bars.map((bar, index) => {
    const y = top + TITLE_HEIGHT + index * ROW_HEIGHT;
    const [left, width] = [PADDING + LABEL_WIDTH, scale(bar.value)];
    const colour = COLOURS[series.indexOf(bar.series) % COLOURS.length];
    return text(PADDING, y + 14, bar.label) +
      `<rect x="${left}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" fill="${colour}"/>` +
      text(left + width + 6, y + 14, bar.value < 10 ? bar.value.toFixed(2) : bar.value.toFixed(0));
  });
  return [heading, ...rows].join("\n");
}

function legend(series: readonly string[]): string {
  return series.map((name, index) => {
    const x = WIDTH - PADDING - (series.length - index) * 90;
    return `<rect x="${x}" y="${PADDING}" width="12" height="12" fill="${
      COLOURS[index % COLOURS.length]
    }"/>` +
      text(x + 17, PADDING + 11, name);
  }).join("\n");
}

function text(x: number, y: number, content: string, style = ""): string {
  const attribute = style === "" ? "" : ` class="${style}"`;
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}"${attribute}>${escape(content)}</text>`;
}

function escape(content: string): string {
  const names: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return content.replace(/[&<>"]/g, (character) => names[character] ?? "");
}
