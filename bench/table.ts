/** One line of the table. Numbers that are NaN stay empty. */
export interface Row {
  /** Rows of the same section stand together, under its name. */
  readonly section: string;
  readonly what: string;
  readonly runtime: string;
  /** Network and concurrency, or another condition. */
  readonly under?: string;
  /** Median and 99th percentile, in `unit`. */
  readonly p50?: number;
  readonly p99?: number;
  readonly unit: string;
  readonly perSecond?: number;
  readonly cpuMs?: number;
  /** The multiple of the baseline. */
  readonly ratio?: number;
  readonly baseline?: string;
  /** CPU, as a multiple of the floor's. */
  readonly timesFloor?: number;
  readonly note?: string;
}

interface Column {
  readonly title: string;
  readonly cell: (row: Row) => string;
  readonly isNumber?: true;
}

const COLUMNS: readonly Column[] = [
  { title: "what", cell: ({ what }) => what },
  { title: "on", cell: ({ runtime }) => runtime },
  { title: "under", cell: ({ under }) => under ?? "" },
  { title: "p50", cell: ({ p50 }) => number(p50), isNumber: true },
  { title: "p99", cell: ({ p99 }) => number(p99), isNumber: true },
  { title: "", cell: ({ unit }) => unit },
  { title: "a second", cell: ({ perSecond }) => number(perSecond), isNumber: true },
  { title: "CPU ms", cell: ({ cpuMs }) => number(cpuMs), isNumber: true },
  { title: "CPU/floor", cell: ({ timesFloor }) => number(timesFloor), isNumber: true },
  { title: "ratio", cell: ({ ratio }) => number(ratio), isNumber: true },
  { title: "to", cell: ({ baseline, ratio }) => number(ratio) === "" ? "" : baseline ?? "" },
  { title: "", cell: ({ note }) => note ?? "" },
];

const GAP = "  ";

/**
 * Formats a table.
 *
 * @param rows Rows in order; a section begins where its name changes
 * @returns The table, with a heading line for each section
 */
export function formatTable(rows: readonly Row[]): string {
  const texts = rows.map((row) => COLUMNS.map(({ cell }) => cell(row)));
  const widths = COLUMNS.map(({ title }, index) =>
    Math.max(title.length, ...texts.map((cells) => cells[index]?.length ?? 0))
  );
  const line = (cells: readonly string[]) =>
    cells.map((cell, index) => {
      const width = widths[index] ?? 0;
      return COLUMNS[index]?.isNumber ? cell.padStart(width) : cell.padEnd(width);
    }).join(GAP).trimEnd();
  const titles = line(COLUMNS.map(({ title }) => title));
  const lines = rows.flatMap((row, index) => {
    const heading = rows[index - 1]?.section === row.section ? [] : ["", row.section, titles];
    return [...heading, line(texts[index] ?? [])];
  });
  return lines.join("\n").trimStart();
}

/**
 * Formats a number for people.
 *
 * @param value The number
 * @returns Three digits that count, or all before the point; empty for NaN
 */
export function number(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "";
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 100) return value.toFixed(0);
  if (value === 0) return "0";
  const digits = 2 - Math.floor(Math.log10(Math.abs(value)));
  return value.toFixed(Math.min(Math.max(digits, 0), 4));
}
