import { type EnclaveAddress, isEnclaveUrl, parseEnclaveUrl } from "../attestation/ask_enclave.ts";
import {
  checkDocument,
  checkEnclave,
  type Expectations,
  type Verdict,
} from "../attestation/check_evidence.ts";
import { summarize } from "../attestation/document_summary.ts";
import { readExpectations } from "../attestation/expectations.ts";
import { watchEnclave } from "../attestation/watch_enclave.ts";
import { AttestationError } from "../../lib/core/errors.ts";
import type { Arguments } from "../arguments.ts";
import { describeDocument, documentJson } from "../document_report.ts";
import { exitOfVerdict } from "../exit_codes.ts";
import { describeFailure } from "../failure.ts";
import { readDocumentArgument } from "../read_document_file.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usage_error.ts";
import { integer } from "../values.ts";

const DEFAULT_TIMEOUT_MS = 10_000;
const MAX_TIMEOUT_MS = 2_147_483_647;

/** Longest time between two checks of `--watch`, in seconds. */
const MAX_WATCH_SECONDS = 86_400;

/** Runs `verify`: checks an attestation document, or an enclave at a URL, and prints what it says. */
export async function verify(args: Arguments, terminal: Terminal): Promise<number> {
  const subject = args.argument ?? "-";
  if (args.has("json") && args.has("summary")) {
    throw new UsageError("--json and --summary exclude each other");
  }
  const expected = readExpectations(args);
  if (!isEnclaveUrl(subject)) {
    refuseFlags(args, URL_FLAGS, "is for a URL only");
    return await report(await checkInput(subject, expected, args, terminal), expected, args, terminal);
  }
  refuseFlags(args, FILE_FLAGS, "is not for a URL: a nonce of its own is sent, and expected now");
  const address = parseEnclaveUrl(subject, args.has("allow-relay"));
  const timeoutMs = integer(args, "timeout-ms", { min: 1, max: MAX_TIMEOUT_MS }) ?? DEFAULT_TIMEOUT_MS;
  const everySeconds = integer(args, "watch", { min: 1, max: MAX_WATCH_SECONDS });
  if (everySeconds !== undefined) {
    return await watch(address, { expected, timeoutMs, everyMs: everySeconds * 1000 }, args, terminal);
  }
  refuseFlags(args, ["times"], "is for --watch only");
  using progress = terminal.progress("enclave-kms: waiting for the enclave");
  const verdict = await checkEnclave(address, expected, timeoutMs);
  progress[Symbol.dispose]();
  return await report(verdict, { ...expected, nonce: FRESH_NONCE }, args, terminal);
}

/** Nonce in reports on an enclave that was asked: they say that one was expected, not which. */
const FRESH_NONCE = new Uint8Array(1);

/** Flags that say nothing about a file. */
const URL_FLAGS = ["allow-relay", "watch", "times", "timeout-ms"];

/** Flags that a URL leaves no room for: the document is made for this question. */
const FILE_FLAGS = ["nonce", "user-data", "at"];

function refuseFlags(args: Arguments, flags: readonly string[], why: string): void {
  const given = flags.find((flag) => args.has(flag));
  if (given !== undefined) throw new UsageError(`--${given} ${why}`);
}

async function watch(
  address: EnclaveAddress,
  options: { readonly expected: Expectations; readonly timeoutMs: number; readonly everyMs: number },
  args: Arguments,
  terminal: Terminal,
): Promise<number> {
  if (args.has("summary")) throw new UsageError("--watch and --summary exclude each other");
  const times = integer(args, "times", { min: 1, max: Number.MAX_SAFE_INTEGER });
  return await watchEnclave(address, { ...options, times, isJson: args.has("json") }, terminal);
}

/** Reads and checks a file or standard input. A server's answer that is malformed is a document that fails. */
async function checkInput(
  subject: string,
  expected: Expectations,
  args: Arguments,
  terminal: Terminal,
): Promise<Verdict> {
  try {
    const input = await readDocumentArgument(subject, terminal);
    if (input.boot !== undefined) {
      refuseFlags(
        args,
        ["user-data"],
        "is not for a server's answer: the user data are the digest of its keys",
      );
    }
    return await checkDocument(input, expected);
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
    return { failure: error, document: undefined, readAs: "JSON of a server" };
  }
}

async function report(
  verdict: Verdict,
  expected: Expectations,
  args: Arguments,
  terminal: Terminal,
): Promise<number> {
  const { document, failure } = verdict;
  if (args.has("json")) {
    await terminal.report(`${JSON.stringify(documentJson(verdict), undefined, 2)}\n`);
    return exitOfVerdict(failure);
  }
  if (args.has("summary")) await terminal.report(summarize(verdict, expected, Date.now()));
  else if (document !== undefined) {
    await terminal.report(describeDocument(document, verdict, expected, terminal));
  }
  for (const line of failure === undefined ? [] : describeFailure("enclave-kms verify", failure)) {
    terminal.note(line);
  }
  return exitOfVerdict(failure);
}
