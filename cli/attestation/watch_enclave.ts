import process from "node:process";
import { parseCertificate } from "../../lib/attestation/certificate.ts";
import type { AttestationDocument } from "../../lib/attestation/document.ts";
import { encodeHex } from "../../lib/core/encoding.ts";
import { exitOfVerdict } from "../exit_codes.ts";
import type { Terminal } from "../terminal.ts";
import type { EnclaveAddress } from "./ask_enclave.ts";
import { checkEnclave, type Expectations, type Verdict } from "./check_evidence.ts";
import { printable, verdictOf } from "./document_summary.ts";

/** Settings of a watch. */
export interface WatchOptions {
  /** Expectations of each answer. */
  readonly expected: Expectations;
  /** Milliseconds for each check. */
  readonly timeoutMs: number;
  /** Milliseconds between two checks. */
  readonly everyMs: number;
  /** Number of checks. Default: until a signal. */
  readonly times?: number | undefined;
  /** Whether to print JSON, an object a line. */
  readonly isJson: boolean;
}

/** State of an enclave that changes are told of. */
export interface WatchedState {
  /** Verdict in words. */
  readonly verdict: string;
  /** Facts of the last answer that was verified, by name. Absent before the first one. */
  readonly facts?: Readonly<Record<string, string>> | undefined;
}

/** Time before the end of a certificate at which it is told, in milliseconds: ten minutes. */
export const NEAR_END_MS = 600_000;

const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/**
 * Verifies an enclave again and again, and prints what changes: the verdict, the boot, the module, registers, and a
 * certificate of the document that ends soon. A failure ends nothing.
 *
 * @param address Way to the enclave
 * @param options Expectations and pace
 * @param terminal Takes a line for each change; the first check is one
 * @returns Exit code of the last check, after the given number of them or a signal
 */
export async function watchEnclave(
  address: EnclaveAddress,
  { expected, timeoutMs, everyMs, times = Infinity, isJson }: WatchOptions,
  terminal: Terminal,
): Promise<number> {
  using stop = untilSignal();
  let state: WatchedState | undefined;
  let code = 0;
  for (let done = 0; done < times && !stop.signal.aborted; done++) {
    if (done > 0 && !await pause(everyMs, stop.signal)) break;
    const verdict = await checkEnclave(address, expected, timeoutMs);
    code = exitOfVerdict(verdict.failure);
    const next = stateOf(verdict, state, Date.now());
    for (const change of changesBetween(state, next)) await terminal.report(lineOf(change, next, isJson));
    state = next;
    if (terminal.lostOutput !== undefined) break;
  }
  return code;
}

/**
 * Takes from a verdict what is watched. Facts are of verified answers only: a failure keeps those of the last one.
 *
 * @param verdict Outcome of a check
 * @param before State before it
 * @param now Milliseconds since 1970
 */
export function stateOf(
  { failure, document, bootId, tls }: Verdict,
  before: WatchedState | undefined,
  now: number,
): WatchedState {
  const verdict = verdictOf(failure);
  if (failure !== undefined || document === undefined) return { verdict, facts: before?.facts };
  const zero = (value: Uint8Array) => value.every((byte) => byte === 0);
  const registers = [...document.pcrs].filter(([, value]) => !zero(value))
    .map(([index, value]) => [`PCR${index}`, encodeHex(value)] as const);
  const endsAt = earliestEnd(document);
  return {
    verdict,
    facts: Object.fromEntries([
      ["boot", bootId ?? "none"],
      ["module", printable(document.moduleId)],
      ["TLS", tls ?? "none"],
      ...registers,
      ...(endsAt - now < NEAR_END_MS ? [["certificate", `ends at ${new Date(endsAt).toISOString()}`]] : []),
    ]),
  };
}

/**
 * Says what is different, one sentence each; everything, when there was nothing before.
 *
 * @param before State at the check before
 * @param after State now
 */
export function changesBetween(before: WatchedState | undefined, after: WatchedState): readonly string[] {
  const changes = before?.verdict === after.verdict ? [] : [after.verdict];
  const [old, now] = [before?.facts ?? {}, after.facts ?? {}];
  for (const name of new Set([...Object.keys(old), ...Object.keys(now)])) {
    if (old[name] === now[name]) continue;
    const was = old[name] === undefined ? "" : `, was ${old[name]}`;
    changes.push(`${name} ${now[name] ?? (name === "certificate" ? "was renewed" : "is zero")}${was}`);
  }
  return changes;
}

function lineOf(change: string, { verdict }: WatchedState, isJson: boolean): string {
  const at = new Date().toISOString();
  return isJson ? `${JSON.stringify({ at, verdict, change })}\n` : `${at} ${change}\n`;
}

/** Finds when the first certificate of a verified document ends. */
function earliestEnd({ certificate, cabundle }: AttestationDocument): number {
  return Math.min(...[certificate, ...cabundle].map((der) => parseCertificate(der).notAfter));
}

/** Waits; false when the signal came first. */
async function pause(delayMs: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return false;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, delayMs);
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
  return !signal.aborted;
}

/** Takes the signals that end a process, as long as it is not disposed. */
function untilSignal(): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const stop = () => controller.abort();
  for (const signal of SIGNALS) process.on(signal, stop);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const signal of SIGNALS) process.off(signal, stop);
    },
  };
}
