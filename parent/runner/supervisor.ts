import { setTimeout as sleep } from "node:timers/promises";
import { Deadline } from "../../lib/core/deadline.ts";
import { LaunchError } from "../../lib/core/errors.ts";
import { Pauses } from "../../lib/core/pauses.ts";
import type { RunningEnclave } from "../running_enclave.ts";
import type {
  CredentialsPush,
  EnclaveConversation,
  ParentParts,
  ParentService,
  SealedSecret,
} from "./parts.ts";
import { failureOf, type OnParentEvent, type ParentState } from "./parent_state.ts";
import { untilAnswering, untilReady, watchReadiness } from "./readiness.ts";
import { StateRecord } from "./state_record.ts";

/** Times of a supervisor, in milliseconds. */
export interface SupervisorTimes {
  /** From the launch to the enclave's readiness. */
  readonly readinessMs: number;
  /** Between two questions for its readiness. */
  readonly intervalMs: number;
  /** Without any answer to them, after which the enclave is ended and launched anew. */
  readonly unreachableMs: number;
  /** For the enclave to end in good order. */
  readonly graceMs: number;
  /** First pause between two starts. */
  readonly firstPauseMs: number;
  /** Longest pause between two starts. */
  readonly maxPauseMs: number;
}

/**
 * Runs an enclave until it is told to end: launches it, injects what it needs, looks after it, and does all of it again,
 * after pauses that grow, whenever something fails. Its state is what was seen last.
 */
export class Supervisor {
  readonly #parts: ParentParts;
  readonly #times: SupervisorTimes;
  readonly #onEvent: OnParentEvent;
  readonly #record: StateRecord;
  readonly #pauses: Pauses;
  readonly #stopping = new AbortController();
  readonly #firstReady = Promise.withResolvers<void>();
  #conversation: EnclaveConversation | undefined;
  #push: CredentialsPush | undefined;
  #services: readonly ParentService[] = [];
  #secrets: readonly SealedSecret[] | undefined;
  /** Resolves when everything has ended. Never rejects. */
  readonly ended: Promise<void>;

  /**
   * Begins as soon as it may.
   *
   * @param parts Parts to put in order
   * @param times Times
   * @param onEvent Is told of what happens
   * @param mayBegin Resolves when it may. Default: at once
   */
  constructor(
    parts: ParentParts,
    times: SupervisorTimes,
    onEvent: OnParentEvent,
    mayBegin: Promise<void> | undefined = undefined,
  ) {
    this.#parts = parts;
    this.#times = times;
    this.#onEvent = onEvent;
    this.#record = new StateRecord(onEvent);
    this.#pauses = new Pauses({ firstMs: times.firstPauseMs, maxMs: times.maxPauseMs });
    this.#firstReady.promise.catch(() => {});
    this.ended = mayBegin === undefined ? this.#run() : mayBegin.then(() => this.#run());
  }

  /** See {@link ParentState}. */
  get state(): ParentState {
    return this.#record.toState(this.#push?.state);
  }

  /** Services that are open. */
  get services(): readonly ParentService[] {
    return this.#services;
  }

  /** Conversation with the enclave that runs. */
  get conversation(): EnclaveConversation | undefined {
    return this.#conversation;
  }

  /** Resolves when an enclave is ready for the first time; rejects when the parent ends before. */
  get ready(): Promise<void> {
    return this.#firstReady.promise;
  }

  /** Ends the enclave in good order, and then the services. */
  async stop(): Promise<void> {
    this.#stopping.abort(
      new LaunchError("Cannot go on: the parent was told to end", { hint: "Start it again" }),
    );
    await this.ended;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.#runOnce(signal);
      } catch (error) {
        if (signal.aborted) break;
        await this.#pause(error, signal);
      }
    }
    this.#record.setEnded();
    this.#firstReady.reject(signal.reason);
    await Promise.allSettled(this.#services.map((service) => service[Symbol.asyncDispose]()));
    this.#services = [];
    await this.#parts[Symbol.asyncDispose]();
    this.#record.enter("ended");
  }

  /** Runs one enclave until it ends, which is an error unless the parent was told to. */
  async #runOnce(signal: AbortSignal): Promise<void> {
    if (this.#parts.checkCredentials !== undefined) {
      this.#record.enter("credentials");
      await this.#parts.checkCredentials(signal);
    }
    this.#record.enter("artefacts");
    this.#secrets = await this.#readSecrets(signal);
    await this.#openServices();
    this.#record.enter("launch");
    const enclave = await this.#parts.launch(signal);
    const launched = performance.now();
    this.#record.know(enclave);
    try {
      await this.#serve(enclave, launched, signal);
    } finally {
      await this.#end(enclave, signal);
    }
  }

  /** Reads the secrets again for each launch. While their source is down, those that were read last will do. */
  async #readSecrets(signal: AbortSignal): Promise<readonly SealedSecret[]> {
    try {
      return await this.#parts.readSecrets(signal);
    } catch (error) {
      if (signal.aborted || this.#secrets === undefined) throw error;
      const { code } = failureOf("artefacts", error);
      this.#onEvent({
        event: "notice",
        message: `the artefacts cannot be read (${code}): the last ones are used`,
      });
      return this.#secrets;
    }
  }

  async #openServices(): Promise<void> {
    if (this.#services.length > 0) return;
    this.#record.enter("services");
    this.#services = await this.#parts.openServices();
    for (const { kind, address } of this.#services) this.#onEvent({ event: "service", kind, address });
  }

  async #serve(enclave: RunningEnclave, launched: number, stop: AbortSignal): Promise<void> {
    const { readinessMs } = this.#times;
    const conversation = this.#conversation = this.#parts.converse(enclave);
    // What waits for the enclave is ended by its end, by the parent's, and, until it is ready, by the time.
    const ended = new AbortController();
    void enclave.ended.then(({ reason }) => ended.abort(endedItself(reason)));
    const alive = AbortSignal.any([stop, ended.signal]);
    using starting = new Deadline("start the enclave", readinessMs, alive, "enclave");
    try {
      await starting.race(this.#start(enclave, conversation, starting.signal));
    } catch (error) {
      alive.throwIfAborted();
      throw starting.signal.aborted ? this.#notReady(readinessMs, error) : error;
    }
    this.#pauses.reset();
    this.#record.setReadiness(true, [], Math.round(performance.now() - launched));
    this.#firstReady.resolve();
    this.#record.enter("watch");
    await this.#watch(conversation, alive);
  }

  /** Waits for the enclave, and injects what it needs. */
  async #start(
    enclave: RunningEnclave,
    conversation: EnclaveConversation,
    signal: AbortSignal,
  ): Promise<void> {
    const { intervalMs } = this.#times;
    this.#record.enter("wait");
    const onAnswer = (missing: readonly string[]) => this.#record.setReadiness(false, missing);
    await untilAnswering(conversation, { intervalMs, signal });
    this.#record.enter("inject");
    this.#push = await this.#parts.startPushing?.(enclave, signal);
    for (const secret of this.#secrets ?? []) {
      await conversation.sendSecret(secret, signal);
      const { name, port, content } = secret;
      this.#onEvent({ event: "secret", name, port, bytes: content.length });
    }
    await untilReady(conversation, { intervalMs, signal, onAnswer });
  }

  #notReady(readinessMs: number, cause: unknown): LaunchError {
    const missing = this.#record.missing.length === 0
      ? "it does not say why"
      : `missing: ${this.#record.missing.join(", ")}`;
    return new LaunchError(
      `Cannot use the enclave: it is not ready within ${readinessMs} ms, at the step ${this.#record.stage}; ${missing}`,
      {
        hint:
          "Does its application start? Run it once in debug mode; READINESS_SLEEP_SECONDS is the time that it has",
        cause,
      },
    );
  }

  async #watch(conversation: EnclaveConversation, signal: AbortSignal): Promise<void> {
    const { intervalMs, unreachableMs } = this.#times;
    await watchReadiness(conversation, {
      intervalMs,
      unreachableMs,
      signal,
      onReadiness: (isReady, missing) => {
        this.#record.setReadiness(isReady, missing);
        // An enclave that does not answer says nothing about credentials.
        if (isReady || missing.length > 0) this.#push?.noteEnclave(!missing.includes("credentials"));
      },
    });
  }

  /** Ends an enclave and what belongs to it: in good order when the parent ends. */
  async #end(enclave: RunningEnclave, signal: AbortSignal): Promise<void> {
    this.#record.setEnded();
    if (signal.aborted) await this.#drain(enclave);
    const conversation = this.#conversation;
    const push = this.#push;
    this.#conversation = this.#push = undefined;
    await Promise.allSettled([push?.[Symbol.asyncDispose](), conversation?.[Symbol.asyncDispose]()]);
    try {
      await enclave.terminate();
      this.#record.forgetEnclave();
    } catch (error) {
      // It may run on: it stays in the state, and the next launch ends it first.
      this.#record.note(error, undefined);
    }
  }

  async #drain(enclave: RunningEnclave): Promise<void> {
    this.#record.enter("drain");
    using deadline = new Deadline("drain the enclave", this.#times.graceMs, undefined, "enclave");
    try {
      await this.#conversation?.shutDown(deadline.signal);
      await deadline.race(enclave.ended);
    } catch {
      this.#onEvent({ event: "notice", message: "the enclave does not end in good order: it is terminated" });
    }
  }

  async #pause(error: unknown, signal: AbortSignal): Promise<void> {
    this.#pauses.begin();
    const pauseMs = Math.round(this.#pauses.remainingMs);
    this.#record.note(error, pauseMs);
    this.#record.enter("pause");
    await sleep(pauseMs, undefined, { signal }).catch(() => {});
  }
}

function endedItself(reason: string): LaunchError {
  return new LaunchError(`Cannot go on: the enclave has ended: ${reason}`, {
    hint: "What does its console say, in debug mode? Is its memory enough?",
  });
}
