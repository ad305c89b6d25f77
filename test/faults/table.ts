/**
 * Writes README.md from the table: `node test/faults/table.ts > test/faults/README.md`. A test compares.
 *
 * @module
 */
import process from "node:process";
import { pathToFileURL } from "node:url";
import { FAULT_MATRIX, type FaultGroup, type FaultRow, type Making } from "./matrix.ts";
import { nameOutcome } from "./outcome.ts";

const TITLES: Readonly<Record<FaultGroup, string>> = {
  proxy: "The proxy on the parent",
  TLS: "TLS",
  HTTP: "HTTP",
  refusal: "KMS refuses",
  answer: "KMS answers with",
  envelope: "KMS sends",
  NSM: "The Nitro Secure Module",
  credentials: "Credentials",
  clock: "The clock",
  process: "The process itself",
};

const COLUMNS = ["Fault", "How it is made", "direct", "sdk", "sdk-client"] as const;

/** The table in Markdown. */
export function renderMatrix(rows: readonly FaultRow[] = FAULT_MATRIX): string {
  const groups = Object.keys(TITLES) as FaultGroup[];
  const sections = groups.map((group) =>
    `## ${TITLES[group]}\n\n${renderTable(rows.filter((row) => row.group === group))}`
  );
  return `${introduction(rows.length)}\n\n${sections.join("\n\n")}\n`;
}

function introduction(count: number): string {
  return `<!-- Written by table.ts from matrix.ts. -->

# Fault matrix

${count} faults, and what a decrypt comes to under each, for every engine. \`faults.test.ts\` makes every one of them
on Node.js and on Deno, and asserts that

- the call settles, and settles as the table says: the plaintext, or an error of the class that has this code,
  with a hint, and for KMS's refusals the exception's name, the status and whether a retry can help;
- nothing that the error shows (message, hint, causes, stack) holds the plaintext, the secret access key or
  the session token;
- the next decrypt is served, by the same client;
- at the end no socket and no device is left open, and C holds nothing, but for what a worker had that was
  ended: its device, and its key pair in C.

\`memory.test.ts\` does the same in a process of its own, and then searches all of its memory for the plaintext
and the secret access key; the worker that is ended is left out there, for it wipes nothing. \`sweep.test.ts\`
resets the connection at every byte of a request and its answer, with engine \`direct\`; with \`SLOW=1\` at every
byte of the handshake as well, and with every engine.

Every client makes one attempt, unless the table says otherwise. Engine \`direct\` is tried with the software
NSM and with \`/dev/nsm\`; engine \`sdk\` with a double of the C SDK, and with the real library where
\`ENCLAVE_KMS_SDK_LIBRARY\` names it. Engine \`sdk-client\` is tried with the double only: the real C client
crashes or hangs its process under many of these faults. It says of no failure what it was, and where it is
laxer than our own reader of answers the table shows it: it takes answers for another key, a bare plaintext
beside an envelope, and envelopes with a second recipient or something behind them.`;
}

function renderTable(rows: readonly FaultRow[]): string {
  const cells = rows.map((row) => [
    row.name,
    describeMaking(row),
    nameOutcome(row.expected.direct),
    nameOutcome(row.expected.sdk),
    nameOutcome(row.expected["sdk-client"]),
  ]);
  const widths = COLUMNS.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => (row[column] ?? "").length))
  );
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [line(COLUMNS), line(widths.map((width) => "-".repeat(width))), ...cells.map(line)].join("\n");
}

function describeMaking({ made, ownClient }: FaultRow): string {
  const attempts = ownClient === "three attempts" ? "; a client of three attempts" : "";
  const own = ownClient === "as ever" ? "; a client of its own" : "";
  return `${describe(made)}${attempts}${own}`;
}

function describe(made: Making): string {
  switch (made.by) {
    case "kms":
      return `KMS: ${describeFields(made.fault)}${made.times === undefined ? "" : `, ${made.times} time`}`;
    case "members":
      return `KMS's answer with ${describeFields(made.change)}`;
    case "cut": {
      const way = made.direction === "toServer" ? "to KMS" : "to the client";
      return `relay: ${made.how} after ${Math.round(100 * made.part)} % of what goes ${way}`;
    }
    case "proxy":
      return `relay: ${made.does}`;
    case "options":
      return `client with ${made.has}`;
    case "nsm":
      return `NSM: ${describeFields(made.fault)}`;
    case "no NSM":
      return `no NSM when ${made.when}`;
    case "credentials":
      return `credentials ${made.are}`;
    case "clock":
      return `KMS's clock ${made.offsetMs / 60_000} minutes ahead`;
    case "process":
      return `the process ${made.does}`;
  }
}

/** \`kind\` first and by itself, then the others. */
function describeFields(fields: Readonly<Record<string, unknown>>): string {
  const { kind, ...others } = fields;
  const rest = Object.entries(others).map(([name, value]) => `${name} ${code(value)}`);
  return [...(kind === undefined ? [] : [String(kind)]), ...rest].join(", ");
}

function code(value: unknown): string {
  return value === null ? "left out" : `\`${JSON.stringify(value)}\``;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) process.stdout.write(renderMatrix());
