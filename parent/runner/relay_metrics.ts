/** Longest text of metrics that is looked at, in characters, and most samples of it. */
export const MAX_METRICS_LENGTH = 524_288;
const MAX_SAMPLES = 5000;

const TYPES = "counter|gauge|histogram|summary|untyped";
const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]{0,127}";
// Names that begin with two underscores are Prometheus's own: `__name__` would be the sample's name.
const LABEL = '(?!__)[a-zA-Z_][a-zA-Z0-9_]{0,63}="(?:[^"\\\\\\p{Cc}]|\\\\["\\\\n]){0,256}"';
const VALUE = "[+-]?(?:\\d{1,40}(?:\\.\\d{0,40})?(?:[eE][+-]?\\d{1,3})?|Inf)|NaN";

const TYPE_LINE = new RegExp(`^# TYPE (${NAME}) (${TYPES})$`);
const HELP_LINE = new RegExp(`^# HELP (${NAME}) ((?:[^\\\\\\p{Cc}]|\\\\[\\\\n]){0,400})$`, "u");
const SAMPLE_LINE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL}){0,15})?,?\\})? (${VALUE})$`, "u");
const EACH_LABEL = new RegExp(LABEL, "gu");
const WHOLE_VALUE = new RegExp(`^(?:${VALUE})$`);

/** Labels of histograms and summaries, which are numbers. */
const NUMBER_LABELS: readonly string[] = ["le", "quantile"];

/** Names that are the parent's own, or Prometheus's: nobody else may tell of them. */
const RESERVED = /^(?:enclave_kms_parent_|scrape_|ALERTS|up$)/;

/** Metrics that were relayed. */
export interface RelayedMetrics {
  /** Text in Prometheus's format, with the label in each sample. */
  readonly text: string;
  /** Lines that were left out: malformed, twice, too many, or in the parent's name. */
  readonly droppedCount: number;
}

interface Family {
  help: string | undefined;
  type: string | undefined;
  readonly samples: string[];
}

/**
 * Relays metrics of an enclave, which anybody on the way may have made up, with a label that says whose they are. Only
 * lines of the text format 0.0.4 pass, each sample once, with its family, and none under a name of the parent's own; so
 * they cannot spoil the rest of the page.
 *
 * Not guaranteed: that they are true.
 *
 * @param text Metrics in Prometheus's text format; one that is longer than {@link MAX_METRICS_LENGTH} is dropped whole
 * @param enclave Name of the enclave, the value of the label `enclave`
 */
export function relayMetrics(text: string, enclave: string): RelayedMetrics {
  if (text.length > MAX_METRICS_LENGTH) return { text: "", droppedCount: 1 };
  const families = new Map<string, Family>();
  const label = `enclave="${enclave.replaceAll(/[^\w.-]/g, "_")}"`;
  const seen = new Set<string>();
  let droppedCount = 0;
  for (const line of text.split("\n")) {
    if (line !== "" && !takeLine(line, { families, seen, label })) droppedCount++;
  }
  return { text: [...families].map(([name, family]) => render(name, family)).join(""), droppedCount };
}

interface Taking {
  readonly families: Map<string, Family>;
  readonly seen: Set<string>;
  readonly label: string;
}

/** Takes a line; returns false when it is left out. */
function takeLine(line: string, { families, seen, label }: Taking): boolean {
  if (line.length > 4096) return false;
  const [, typed, type] = TYPE_LINE.exec(line) ?? [];
  if (typed !== undefined) return describe(families, typed, "type", type);
  const [, helped, help] = HELP_LINE.exec(line) ?? [];
  if (helped !== undefined) return describe(families, helped, "help", help);
  const [, name, labels = "", value] = SAMPLE_LINE.exec(line) ?? [];
  if (name === undefined || isReserved(name) || !isNumber(value) || seen.size >= MAX_SAMPLES) return false;
  const pairs = [...labels.matchAll(EACH_LABEL)].map(([pair]) => pair);
  // A label without a value is none.
  const sorted = `${name} ${pairs.filter((pair) => !pair.endsWith('=""')).sort().join(",")}`;
  if (!areGood(pairs) || seen.has(sorted)) return false;
  seen.add(sorted);
  const family = familyOf(families, baseOf(families, name));
  family.samples.push(`${name}{${label}${labels === "" ? "" : `,${labels}`}} ${value}\n`);
  return true;
}

function describe(
  families: Map<string, Family>,
  name: string,
  field: "type" | "help",
  value: string | undefined,
): boolean {
  if (isReserved(name) || families.size >= MAX_SAMPLES) return false;
  const family = familyOf(families, name);
  if (family[field] !== undefined || family.samples.length > 0) return false;
  family[field] = value;
  return true;
}

function areGood(pairs: readonly string[]): boolean {
  const labels = pairs.map((
    pair,
  ) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 2, -1)]);
  const names = new Set(labels.map(([name]) => name));
  if (names.has("enclave") || names.size < labels.length) return false;
  return labels.every(([name = "", value]) => !NUMBER_LABELS.includes(name) || isNumber(value));
}

/** Tells whether Prometheus reads a number: one that is too large is an error to it, and the end of the page. */
function isNumber(text: string | undefined): boolean {
  if (text === undefined || !WHOLE_VALUE.test(text)) return false;
  return /[fN]/.test(text) || Number.isFinite(Number(text));
}

function isReserved(name: string): boolean {
  return RESERVED.test(name);
}

/** Samples of a histogram or summary have longer names than their family. */
function baseOf(families: Map<string, Family>, name: string): string {
  const base = name.replace(/_(?:bucket|sum|count)$/, "");
  const type = families.get(base)?.type;
  return type === "histogram" || type === "summary" ? base : name;
}

function familyOf(families: Map<string, Family>, name: string): Family {
  const known = families.get(name);
  if (known !== undefined) return known;
  const family: Family = { help: undefined, type: undefined, samples: [] };
  families.set(name, family);
  return family;
}

function render(name: string, { help, type, samples }: Family): string {
  if (samples.length === 0) return "";
  const head = [
    help === undefined ? "" : `# HELP ${name} ${help}\n`,
    type === undefined ? "" : `# TYPE ${name} ${type}\n`,
  ];
  return [...head, ...samples].join("");
}
