/**
 * Writes README.md from the table: `node test/faults/table.ts > test/faults/README.md`. A test compares.
 *
 * @module
 */
import process from "node:process";
import { pathToFileURL } from "node:url";
import { FAULT_MATRIX, type FaultGroup, type FaultRow, type Making } from "./matrix.ts";
import { nameCode, nameOutcome, type Outcome } from "./outcome.ts";
import { describeTally, readRealResults, type RealResults, type Tally } from "./real_results.ts";

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

const COLUMNS = [
  "Fault",
  "How it is made",
  "direct",
  "sdk",
  "sdk-client",
  "real C client",
  "its next call",
] as const;

/** Renders the table in Markdown. */
export function renderMatrix(
  rows: readonly FaultRow[] = FAULT_MATRIX,
  results: RealResults = readRealResults(),
): string {
  const groups = Object.keys(TITLES) as FaultGroup[];
  const sections = groups.map((group) =>
    `## ${TITLES[group]}\n\n${renderTable(rows.filter((row) => row.group === group), results)}`
  );
  return `${introduction(rows, results)}\n\n${sections.join("\n\n")}\n`;
}

function introduction(rows: readonly FaultRow[], results: RealResults): string {
  return `<!-- Written by table.ts from matrix.ts. -->

# Fault matrix

${rows.length} faults, and what a decrypt comes to under each, for every engine. \`faults.test.ts\` makes every one of them
on Node.js and on Deno, and asserts that

- the call settles, and settles as the table says: the plaintext, or an error of the class that has this code,
  with a hint, for KMS's refusals the exception's name, the status and whether a retry can help, and for
  time-outs the stage: what was waited for;
- nothing that the error shows (message, hint, causes, stack) holds the plaintext, the secret access key or
  the session token;
- the next decrypt is served, by the same client;
- at the end no socket and no device is left open, and C holds nothing, but for what a worker had that was
  ended: its device, and its key pair in C.

\`memory.test.ts\` does the same in a process of its own, and then searches all of its memory for the plaintext
and the secret access key; the worker that is ended is left out there, for it wipes nothing. \`sweep.test.ts\`
resets the connection at every byte of a request and its answer, with engine \`direct\`; with \`SLOW=1\` at every
byte of the handshake as well, and with every engine.

\`application.test.ts\` lets an application in the enclave meet 49 of them, with the policy's own faults beside:
a handler that calls \`c.var.kms\`, asked in the clear and sealed. Each request ends in a problem with a status
and a code, the next one is served, and neither a problem nor the log shows a secret.

Every client makes one attempt, unless the table says otherwise. Engine \`direct\` is tried with the software
NSM and with \`/dev/nsm\`; engine \`sdk\` with a double of the C SDK, and with the real library where
\`ENCLAVE_KMS_SDK_LIBRARY\` names it. Engine \`sdk-client\` is tried with the double here. It says of no failure
what it was, and where it is laxer than our own reader of answers the table shows it: it takes answers for
another key, a bare plaintext beside an envelope, and envelopes with a second recipient or something behind
them.

## The real C client

${fill(realIntroduction(rows, results))}`;
}

/** Breaks the lines of paragraphs anew, where the formatter would. */
function fill(text: string): string {
  return text.split("\n\n").map((paragraph) => {
    const lines = [""];
    for (const word of paragraph.split(/\s+/)) {
      const longer = `${lines.at(-1)} ${word}`.trimStart();
      if (longer.length <= LINE_WIDTH) lines[lines.length - 1] = longer;
      else lines.push(word);
    }
    return lines.join("\n");
  }).join("\n\n");
}

const LINE_WIDTH = 110;

function realIntroduction(rows: readonly FaultRow[], { platform, tries, rows: real }: RealResults): string {
  const found = rows.flatMap(({ name }) => real[name] ?? []);
  const calls = tries * found.length;
  const crashes = sum(found.map(({ fault }) => countOf(fault, CRASH)));
  const hangs = sum(
    rows.map(({ name, expected }) =>
      nameCode(expected["sdk-client"]) === TIMEOUT
        ? 0
        : countOf(real[name]?.fault ?? {}, /^(?:ERR_TIMEOUT|hung)$/)
    ),
  );
  const served = sum(found.map(({ next }) => countOf(next, /^plaintext$/)));
  return `The real C client crashes or hangs its process under many of these faults, and without one. So it is tried
by a command of its own, \`ENCLAVE_KMS_SDK_LIBRARY=<path> node test/faults/real_client.ts\`, which gives each call a
process of its own, ${tries} for each row, and writes down what came of it: the last two columns, on ${platform},
with version 0.4.2 as one self-contained library, on two cores that other jobs kept busy. A signal is a crash;
where something else than one outcome was seen, the number says how often. Another run gives other numbers. Faults
that the table has had only since are marked "not tried".

Of ${calls} calls ${crashes} ended their process, and ${hangs} that should have failed, or decrypted, had not
returned at their deadline of five seconds (C takes 14 to 25 to refuse a certificate); none gave another
plaintext. The next call by the same process was served ${served} times: not after a crash, nor behind a call
that has not returned, after which others are refused. A worker that was ended inside C did not end.

## The sweep

With \`SLOW=1\`, on Node.js 24.21.0: resets at every byte of the handshake, the request with its attestation
document, and the answer came to \`ERR_CONNECTION\` with engine \`direct\` (over the software NSM and over
\`/dev/nsm\`) and engine \`sdk\` over the double; with \`sdk-client\` over the double every reset in the answer came
to an error of the C client, and so did those in the last 60 bytes of the request and at every 256th byte of the
handshake. The whole of its request was tried once, with the C client's goodbye taken for its end, which is
mended; Deno's run of all engines had not ended when this was written.`;
}

const CRASH = /^(?:SIG[A-Z]+|\d+)$/;
const TIMEOUT = "ERR_TIMEOUT";

function countOf(tally: Tally, wanted: RegExp): number {
  return sum(Object.entries(tally).map(([outcome, count]) => wanted.test(outcome) ? count : 0));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((left, right) => left + right, 0);
}

/** Names the outcome of the real C client; empty where it was not tried. */
function nameReal(expected: Outcome, tally: Tally | undefined): string {
  if (tally === undefined) return "not tried";
  const told = describeTally(tally);
  return told === nameCode(expected) ? "the same" : told;
}

function renderTable(rows: readonly FaultRow[], { rows: real }: RealResults): string {
  const cells = rows.map((row) => [
    row.name,
    describeMaking(row),
    nameOutcome(row.expected.direct),
    nameOutcome(row.expected.sdk),
    nameOutcome(row.expected["sdk-client"]),
    nameReal(row.expected["sdk-client"], real[row.name]?.fault),
    nameReal("plaintext", real[row.name]?.next).replace("the same", "served"),
  ]);
  const widths = COLUMNS.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => (row[column] ?? "").length))
  );
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [line(COLUMNS), line(widths.map((width) => "-".repeat(width))), ...cells.map(line)].join("\n");
}

function describeMaking({ made, ownClient }: FaultRow): string {
  const client = ownClient === "as ever" ? "its own" : ownClient;
  return client === undefined ? describe(made) : `${describe(made)}; a client of ${client}`;
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
