/** Table with a heading for each column. */
export interface SectionTable {
  readonly caption: string;
  readonly columns: readonly string[];
  readonly rows: readonly TableRow[];
}

/** Row of a table. */
export interface TableRow {
  readonly cells: readonly string[];
  readonly state?: SectionState;
}

/** State of a thing: nothing is wrong, something is, or there is something to know. */
export type SectionState = "good" | "bad" | "note";

/** Part of the result: texts alone, which a page shows as they are. */
export interface Section {
  readonly title: string;
  readonly state: SectionState;
  /** Sentences; the first says the outcome. */
  readonly sentences: readonly string[];
  readonly tables: readonly SectionTable[];
  /** Commands that do the same. */
  readonly commands: readonly string[];
}
