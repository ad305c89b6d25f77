import { setTimeout as sleep } from "node:timers/promises";
import { Deadline } from "../../lib/core/deadline.ts";
import { LaunchError } from "../../lib/core/errors.ts";
import type { EnclaveConversation, EnclaveReadiness } from "./parts.ts";

/** Pace of the questions. */
export interface Pace {
  /** Milliseconds between two questions. */
  readonly intervalMs: number;
  /** Ends the questions; the promise rejects with its reason. */
  readonly signal: AbortSignal;
}

/** Longest time for one question, in milliseconds. */
const QUESTION_MS = 5000;

/**
 * Asks until an enclave answers anything that can be believed.
 *
 * @param conversation Conversation with it
 * @param pace Pace of the questions
 */
export async function untilAnswering(conversation: EnclaveConversation, pace: Pace): Promise<void> {
  while (await ask(conversation, pace.signal) === undefined) await pause(pace);
}

/**
 * Asks until an enclave says that it is ready.
 *
 * @param conversation Conversation with it
 * @param pace Pace of the questions; `onAnswer` is told what is missing
 */
export async function untilReady(
  conversation: EnclaveConversation,
  pace: Pace & { readonly onAnswer: (missing: readonly string[]) => void },
): Promise<void> {
  for (;;) {
    const readiness = await ask(conversation, pace.signal);
    if (readiness !== undefined) pace.onAnswer(readiness.missing);
    if (readiness?.isReady === true) return;
    await pause(pace);
  }
}

/** Pace of the questions to an enclave that was ready. */
export interface WatchPace extends Pace {
  /** Milliseconds without an answer after which the enclave is given up. */
  readonly unreachableMs: number;
  /** Is told each answer; an enclave that does not answer is not ready. */
  readonly onReadiness: (isReady: boolean, missing: readonly string[]) => void;
}

/**
 * Asks for ever, until an enclave does not answer for too long.
 *
 * @param conversation Conversation with it
 * @param pace Pace of the questions
 * @throws {LaunchError} When it does not answer for too long
 */
export async function watchReadiness(conversation: EnclaveConversation, pace: WatchPace): Promise<never> {
  for (let answered = performance.now();;) {
    await pause(pace);
    const readiness = await ask(conversation, pace.signal);
    pace.onReadiness(readiness?.isReady ?? false, readiness?.missing ?? []);
    if (readiness !== undefined) answered = performance.now();
    else if (performance.now() - answered > pace.unreachableMs) {
      throw new LaunchError(`Cannot reach the enclave: it does not answer for ${pace.unreachableMs} ms`, {
        hint: "Does its application hang, or has it too little CPU or memory?",
      });
    }
  }
}

/** Asks once; undefined when nothing answers in time. */
async function ask(
  conversation: EnclaveConversation,
  signal: AbortSignal,
): Promise<EnclaveReadiness | undefined> {
  using deadline = new Deadline("ask the enclave whether it is ready", QUESTION_MS, signal, "enclave");
  deadline.throwIfPassed();
  const readiness = await deadline.race(conversation.askReadiness(deadline.signal)).catch(() => undefined);
  signal.throwIfAborted();
  return readiness;
}

async function pause({ intervalMs, signal }: Pace): Promise<void> {
  await sleep(intervalMs, undefined, { signal }).catch(() => signal.throwIfAborted());
}
