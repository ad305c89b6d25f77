import type { OwnedCredentials } from "../lib/aws/credentials.ts";
import { Deadline, MAX_TIMEOUT_MS } from "../lib/core/deadline.ts";
import { DisposedError } from "../lib/core/errors.ts";
import { Pauses } from "../lib/core/pauses.ts";
import { EnclaveWatcher } from "./credentials/enclave_watcher.ts";
import type { PushReason, PushState } from "./credentials/push_events.ts";
import { PushRecord } from "./credentials/push_record.ts";
import { waitForSuccessors } from "./credentials/push_schedule.ts";
import {
  type CheckedOptions,
  checkOptions,
  type CredentialPusherOptions,
} from "./credentials/pusher_options.ts";
import { askSource } from "./credentials/source_question.ts";
import { Waiter } from "./credentials/waiter.ts";

export type { CredentialPusherOptions };

/**
 * Pusher of credentials into an enclave: at the start, ahead of their expiration, and again when the enclave has booted
 * anew, has lost them, or KMS refuses them there.
 *
 * Nothing ends it but `close()`. While the source fails, or gives the same credentials again, it is asked again after
 * pauses that grow, and the enclave keeps the old ones, past their expiration, too: AWS decides whether they still
 * serve. An enclave that boots meanwhile is sent the old ones. They are kept in bytes, and wiped when others come and
 * when it is closed.
 *
 * Not guaranteed: that the enclave uses what it took. Watch its readiness for that.
 *
 * @example
 * ```ts
 * import { CredentialPusher, imdsCredentials } from "enclave-kms/parent";
 * import { startImds } from "enclave-kms/sim";
 *
 * await using imds = await startImds();
 * const received: string[] = [];
 * await using pusher = CredentialPusher.start({
 *   source: imdsCredentials({ endpoint: imds.endpoint }), // on an instance: without an endpoint
 *   send: async ({ accessKeyId }) => void received.push(accessKeyId), // sendCredentials() to the enclave's port 7100
 * });
 * await pusher.pushNow();
 * received.includes(imds.credentials.accessKeyId); // true
 * pusher.state.generation; // 1
 * ```
 */
export class CredentialPusher implements AsyncDisposable {
  readonly #options: CheckedOptions;
  readonly #record: PushRecord;
  readonly #closing = new AbortController();
  readonly #waiter = new Waiter();
  readonly #failurePauses: Pauses;
  readonly #lostPauses: Pauses;
  readonly #unchangedPauses: Pauses;
  readonly #watcher: EnclaveWatcher | undefined;
  readonly #running: Promise<void>;
  #asked: PromiseWithResolvers<void> | undefined;
  #kept: OwnedCredentials | undefined;
  #due: PushReason | undefined = "start";
  /** Time of the next question for successors, by the clock and by one that nobody sets, whichever comes first. */
  #next = { atMs: 0, byMs: 0 };

  private constructor(options: CheckedOptions) {
    this.#options = options;
    this.#record = new PushRecord(options.now, options.onEvent);
    const { maxPauseMs: maxMs } = options;
    const limits = { firstMs: Math.min(1000, maxMs), maxMs };
    [this.#failurePauses, this.#lostPauses] = [new Pauses(limits), new Pauses(limits)];
    this.#unchangedPauses = new Pauses({ firstMs: Math.min(30_000, maxMs), maxMs: 5 * maxMs });
    this.#running = this.#run();
    this.#watcher = options.watch && new EnclaveWatcher(options.watch, {
      everyMs: options.watchEveryMs,
      record: this.#record,
      onChange: (reason) => this.#onChange(reason),
    });
  }

  /**
   * Starts to push, in the background.
   *
   * @param options Source, enclave and times
   * @returns The pusher. Dispose it with `await using`, or close it
   * @throws {TypeError} When an option is unknown or of a wrong type
   * @throws {RangeError} When a number is out of range
   */
  static start(options: CredentialPusherOptions): CredentialPusher {
    return new CredentialPusher(checkOptions(options));
  }

  /** State at present, for metrics. */
  get state(): PushState {
    return this.#record.state;
  }

  /**
   * Asks the source and sends what it gives, also when it is the same again. Calls at one time share one push.
   *
   * @param options Signal that ends the wait; the push goes on
   * @throws {EnclaveKmsError} When the source failed and nothing is kept, or the enclave did not take them: the error
   *   of this library, or a {@link CredentialsError} that names the kind of another one
   * @throws {DisposedError} After close
   */
  async pushNow(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    if (this.#closing.signal.aborted) throw new DisposedError("CredentialPusher");
    using deadline = new Deadline("push credentials", MAX_TIMEOUT_MS, options.signal);
    this.#asked ??= Promise.withResolvers();
    const { promise } = this.#asked;
    this.#waiter.wake();
    await deadline.race(promise);
  }

  /**
   * Tells whether the enclave has credentials that serve, for whoever looks at it in the place of `watch`. While it has
   * none it is sent them after pauses that grow, however often this is told.
   *
   * @param hasCredentials Whether it says that it has some, and that KMS has not refused them
   */
  noteEnclave(hasCredentials: boolean): void {
    if (hasCredentials) return this.#onChange("well");
    this.#record.noteLost(false);
    this.#onChange("lost");
  }

  /** Ends watching and pushing, waits for what is under way to end, and wipes the credentials. */
  async close(): Promise<void> {
    this.#closing.abort(new DisposedError("CredentialPusher"));
    this.#waiter.wake();
    await Promise.all([this.#running, this.#watcher?.close()]);
    this.#kept?.[Symbol.dispose]();
    this.#kept = undefined;
  }

  /** Closes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const asked = this.#asked;
      this.#asked = undefined;
      const reason = asked === undefined ? this.#reasonNow() : "asked";
      if (reason === undefined) {
        await this.#waiter.wait(this.#untilNext());
        continue;
      }
      const error = await this.#push(reason);
      if (error === undefined) asked?.resolve();
      else asked?.reject(error);
    }
    this.#asked?.reject(signal.reason);
  }

  /** Tells whether it is time to push; a try after one that failed waits for its pause. */
  #reasonNow(): PushReason | undefined {
    if (!this.#failurePauses.areOver) return undefined;
    if (this.#due !== undefined) return this.#due;
    return this.#untilQuestion() <= 0 ? "expiring" : undefined;
  }

  #untilNext(): number {
    const pauseMs = this.#failurePauses.remainingMs;
    if (pauseMs > 0) return pauseMs;
    return Math.max(1, Math.min(this.#untilQuestion(), this.#record.tellExpiry()));
  }

  #askIn(waitMs: number): void {
    this.#next = { atMs: this.#options.now() + waitMs, byMs: performance.now() + waitMs };
  }

  #untilQuestion(): number {
    return Math.min(this.#next.atMs - this.#options.now(), this.#next.byMs - performance.now());
  }

  /** Pushes once. Returns what failed, which is noted; the enclave may have taken older credentials all the same. */
  async #push(reason: PushReason): Promise<unknown> {
    const { source, sourceTimeoutMs } = this.#options;
    let failure: unknown;
    try {
      const given = await askSource(source, sourceTimeoutMs, this.#closing.signal);
      if (!this.#take(given) && reason === "expiring") return this.#waitForOthers();
    } catch (error) {
      if (this.#closing.signal.aborted) return error;
      failure = error;
      this.#fail("source", error);
      // Until the source is well, the enclave has nothing else to live on.
      if (this.#kept === undefined || reason === "expiring") return error;
    }
    this.#due = reason === "expiring" ? this.#due : reason;
    const refusal = await this.#send(reason, failure !== undefined);
    if (refusal !== undefined) return refusal;
    this.#due = undefined;
    // A source that failed is asked again after its pause.
    this.#askIn(failure === undefined ? this.#untilSuccessors() : 0);
    return undefined;
  }

  /** Keeps what the source gave, and tells whether it is other than before. */
  #take(given: OwnedCredentials): boolean {
    const before = this.#kept;
    const isOther = before === undefined || !before.equals(given) || before.expiresAtMs !== given.expiresAtMs;
    before?.[Symbol.dispose]();
    this.#kept = given;
    if (isOther) {
      this.#record.noteGeneration(given);
      this.#unchangedPauses.reset();
    }
    return isOther;
  }

  #waitForOthers(): undefined {
    this.#failurePauses.reset();
    this.#unchangedPauses.begin();
    this.#askIn(this.#unchangedPauses.remainingMs);
    this.#record.noteUnchanged(this.#unchangedPauses.remainingMs);
  }

  #untilSuccessors(): number {
    const { now, aheadMs } = this.#options;
    const expiresAtMs = this.#kept?.expiresAtMs;
    const waitMs = waitForSuccessors(expiresAtMs === undefined ? undefined : expiresAtMs - now(), aheadMs);
    if (waitMs > 0) return waitMs;
    this.#unchangedPauses.begin();
    return this.#unchangedPauses.remainingMs;
  }

  async #send(reason: PushReason, isKept: boolean): Promise<unknown> {
    const { send, sendTimeoutMs } = this.#options;
    using credentials = this.#kept?.share();
    if (credentials === undefined) return undefined;
    try {
      using deadline = new Deadline("send credentials", sendTimeoutMs, this.#closing.signal, "enclave");
      await deadline.race((async () => await send(credentials, { signal: deadline.signal }))());
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#fail("send", error);
      return error;
    }
    if (!isKept) this.#failurePauses.reset();
    this.#record.notePushed(reason, isKept);
    return undefined;
  }

  #fail(part: "source" | "send", error: unknown): void {
    this.#failurePauses.begin();
    this.#record.noteFailure(part, error, this.#failurePauses.remainingMs);
  }

  #onChange(reason: "restart" | "lost" | "well"): void {
    if (reason === "well") return this.#lostPauses.reset();
    // An enclave whose credentials KMS refuses says so at each look.
    if (reason === "lost" && !this.#lostPauses.areOver) return;
    if (reason === "lost") this.#lostPauses.begin();
    this.#failurePauses.reset();
    this.#due ??= reason;
    this.#waiter.wake();
  }
}
