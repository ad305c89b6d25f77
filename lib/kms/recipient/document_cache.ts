import { clearTimeout, setTimeout } from "node:timers";
import type { Deadline } from "../../core/deadline.ts";
import { MAX_SILENCE_MS, type NsmQueue } from "../../nsm/nsm_queue.ts";
import type { Recipient } from "./recipient.ts";

/** The next document is asked for when this part of the age limit has passed. */
const REFRESH_AT = 0.75;

/** After a question without an answer, the next is asked when this part of the age limit has passed. */
const RETRY_AFTER = 0.25;

/**
 * For so many of a document's lifetimes after the last call the next one is asked for ahead of time: ten minutes
 * when documents are used for a minute. A client that nobody uses any more asks nothing.
 */
export const KEPT_FRESH_LIFETIMES = 10;

/** Runs something later; disposing the result before then prevents it. */
export type Schedule = (delayMs: number, run: () => void) => Disposable;

/**
 * A recipient's attestation document, asked for once and used again for a while: a real NSM takes one
 * request at a time. Calls that need one at the same time wait for the same request.
 *
 * A document that is soon too old is replaced in the background, so nobody waits for the NSM: not under steady
 * load, and not after a pause of less than {@link KEPT_FRESH_LIFETIMES} lifetimes. After a longer one the first
 * call does. The timer does not keep the process alive; a question that the NSM has not answered yet may.
 */
export class DocumentCache implements Disposable {
  readonly #recipient: Recipient;
  readonly #maxAgeMs: number;
  readonly #queue: NsmQueue;
  readonly #schedule: Schedule;
  #document: Uint8Array | undefined;
  #askedAt = 0;
  #usedAt = 0;
  #question: { readonly answer: Promise<Uint8Array>; readonly since: number } | undefined;
  #timer: Disposable | undefined;
  #disposed = false;

  /**
   * @param recipient Recipient of the document
   * @param maxAgeMs Milliseconds for which it is used again; 0 for never
   * @param queue Queue in which the questions of this client wait
   * @param schedule Default: timers that let the process exit
   */
  constructor(recipient: Recipient, maxAgeMs: number, queue: NsmQueue, schedule: Schedule = scheduleUnrefed) {
    this.#recipient = recipient;
    this.#maxAgeMs = maxAgeMs;
    this.#queue = queue;
    this.#schedule = schedule;
  }

  /**
   * @param deadline When this caller gives up; the others go on waiting, and so does who comes next: an NSM that
   *   is silent is not asked again before {@link MAX_SILENCE_MS}
   * @returns COSE_Sign1, at most `maxAgeMs` old
   * @throws {AttestationError} When the NSM is absent or refuses
   * @throws {TimeoutError} When the deadline passes
   */
  async get(deadline: Deadline): Promise<Uint8Array> {
    deadline.throwIfPassed();
    this.#usedAt = performance.now();
    const ageMs = this.#usedAt - this.#askedAt;
    if (this.#document === undefined || ageMs >= this.#maxAgeMs) return await deadline.race(this.#ask());
    // Whoever needs the answer asks again if there is none.
    if (ageMs >= this.#maxAgeMs * REFRESH_AT) this.#ask().catch(() => {});
    return this.#document;
  }

  /**
   * Forgets the document: a register was extended since. Calls that wait already get what was asked for before; those
   * that come get another.
   */
  forget(): void {
    this.#document = undefined;
    this.#question = undefined;
    this.#askedAt = performance.now();
  }

  /** Asks nothing ahead of time any more. Calls that have begun still get a document. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #ask(): Promise<Uint8Array> {
    const running = this.#question;
    const now = performance.now();
    if (running !== undefined && now - running.since < MAX_SILENCE_MS) return running.answer;
    const question = { since: now, answer: this.#queue.run(() => this.#renew()) };
    this.#question = question;
    const forget = () => {
      if (this.#question === question) this.#question = undefined;
    };
    question.answer.then(forget, forget);
    return question.answer;
  }

  async #renew(): Promise<Uint8Array> {
    const askedAt = performance.now();
    try {
      const document = await this.#recipient.attestationDocument();
      if (askedAt >= this.#askedAt) {
        this.#document = document;
        this.#askedAt = askedAt;
      }
      this.#plan(askedAt + this.#maxAgeMs * REFRESH_AT - performance.now());
      return document;
    } catch (error) {
      if (this.#document !== undefined) this.#plan(this.#maxAgeMs * RETRY_AFTER);
      throw error;
    }
  }

  #plan(delayMs: number): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    if (this.#disposed || this.#maxAgeMs === 0) return;
    this.#timer = this.#schedule(Math.max(1, delayMs), () => this.#askAhead());
  }

  #askAhead(): void {
    this.#timer = undefined;
    if (performance.now() - this.#usedAt >= this.#maxAgeMs * KEPT_FRESH_LIFETIMES) return;
    // Nobody waits for it; a failure plans another try.
    this.#ask().catch(() => {});
  }
}

function scheduleUnrefed(delayMs: number, run: () => void): Disposable {
  const timer = setTimeout(run, delayMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}
