import { checkFields, checkInteger } from "../../lib/core/checks.ts";
import { Deadline, MAX_TIMEOUT_MS } from "../../lib/core/deadline.ts";
import { DisposedError, EnclaveKmsError, NotReadyError, ProtocolError } from "../../lib/core/errors.ts";
import type { ConnectorAnswer, WaitOptions } from "./enclave_connector.ts";

/** Asks once. */
export type AskReady = (timeoutMs: number, signal: AbortSignal | undefined) => Promise<ConnectorAnswer>;

/** Pace of the questions, and the name of the enclave. */
export interface ReadyParts {
  /** Number and pace of the questions. */
  readonly options: WaitOptions;
  /** Name of the enclave's address, for messages. */
  readonly name: string;
}

/**
 * Asks until an enclave is ready.
 *
 * @param ask Asks `GET /readyz` once
 * @param parts Pace of the questions, and the name of the enclave
 * @throws {NotReadyError} When it is not after the last question
 */
export async function untilReady(ask: AskReady, { options, name }: ReadyParts): Promise<void> {
  const { maxRetries, intervalMs, timeoutMs, signal } = checkOptions(options);
  let last: Finding = { missing: [], cause: undefined };
  for (let question = 0; question <= maxRetries; question++) {
    if (question > 0) await pause(intervalMs, signal);
    const found = await askOnce(() => ask(timeoutMs, signal), signal);
    if (found === undefined) return;
    last = found;
  }
  throw notReady(name, maxRetries + 1, last);
}

/** Finding of a question whose answer is not that all is there. */
interface Finding {
  /** Parts that are missing; none when the enclave did not say. */
  readonly missing: readonly string[];
  /** Failure of the question. */
  readonly cause: EnclaveKmsError | undefined;
}

async function askOnce(
  ask: () => Promise<ConnectorAnswer>,
  signal: AbortSignal | undefined,
): Promise<Finding | undefined> {
  signal?.throwIfAborted();
  try {
    const answer = await ask();
    return answer.status === 200 ? undefined : readFinding(answer);
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof EnclaveKmsError) || error instanceof DisposedError) throw error;
    return { missing: [], cause: error };
  }
}

/** Reads what is missing from an answer that anybody may have given. */
function readFinding(answer: ConnectorAnswer): Finding {
  const missing = missingParts(answer);
  if (missing !== undefined && missing.length > 0) return { missing, cause: undefined };
  const cause = new ProtocolError(`Cannot tell whether the enclave is ready: it answers ${answer.status}`, {
    hint: "Does the application there have the route GET /readyz?",
  });
  return { missing: [], cause };
}

/**
 * Reads the parts that an answer of `GET /readyz` says are missing: names in the form of ours, and few of them.
 *
 * @param answer Answer that anybody may have given
 * @returns undefined when its status says otherwise
 * @throws {ProtocolError} When it is no JSON
 */
export function missingParts(answer: ConnectorAnswer): readonly string[] | undefined {
  if (answer.status !== 503) return undefined;
  const parts = answer.json();
  return Object.entries(typeof parts === "object" && parts !== null ? parts : {})
    .filter(([part, isThere]) => isThere === false && PART.test(part))
    .map(([part]) => part).slice(0, MAX_PARTS);
}

const MAX_PARTS = 16;

/** Name of a part, such as `credentials` or `secret:age-key`. */
const PART = /^[a-z][A-Za-z0-9]{0,31}(?::[A-Za-z0-9][\w.-]{0,63})?$/;

/** Causes of parts that are missing, by their names in `/readyz`. */
const PART_HINTS: Readonly<Record<string, string>> = {
  credentials: "Does the parent push credentials, and does KMS accept them?",
  policy: "Has the image a policy, and does it load? The enclave's log says so at its start",
  nsm: "Is it a Nitro Enclave, with /dev/nsm?",
  library: "Does the image hold the engine's library? The enclave's log says which paths it tried",
  clock: "Does the proxy to KMS run? The enclave learns the time from KMS",
};

function notReady(name: string, questions: number, { missing, cause }: Finding): NotReadyError {
  const why = missing.length > 0 ? `missing: ${missing.join(", ")}` : describe(cause);
  const hint = PART_HINTS[missing[0] ?? ""] ?? cause?.hint ?? "What does the enclave's log say?";
  return new NotReadyError(
    `Cannot use the enclave at ${name}: not ready after ${questions} question(s): ${why}`,
    {
      hint,
      missing,
      cause,
    },
  );
}

function describe(cause: EnclaveKmsError | undefined): string {
  return cause === undefined ? "it did not say why" : `${cause.code}, ${cause.message}`;
}

async function pause(intervalMs: number, signal: AbortSignal | undefined): Promise<void> {
  using deadline = new Deadline("wait for the enclave", MAX_TIMEOUT_MS, signal);
  await deadline.sleep(intervalMs);
}

function checkOptions(given: WaitOptions) {
  const { maxRetries, intervalMs, timeoutMs, signal } = checkFields("wait options", given, [
    "maxRetries",
    "intervalMs",
    "timeoutMs",
    "signal",
  ]);
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError("signal must be an AbortSignal");
  }
  const time = { min: 1, max: MAX_TIMEOUT_MS };
  return {
    maxRetries: checkInteger("maxRetries", maxRetries, { min: 0, max: 1_000_000, default: 60 }),
    intervalMs: checkInteger("intervalMs", intervalMs, { ...time, default: 1000 }),
    timeoutMs: checkInteger("timeoutMs", timeoutMs, { ...time, default: 5000 }),
    signal,
  };
}
