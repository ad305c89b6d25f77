import type { EnclaveEnd, RunningEnclave } from "../running_enclave.ts";
import {
  failureOf,
  type KnownEnclave,
  type OnParentEvent,
  type ParentFailure,
  type ParentStage,
  type ParentState,
} from "./parent_state.ts";
import type { PushState } from "../credentials/push_events.ts";

/** Record of what the parent saw, which tells of each change. */
export class StateRecord {
  readonly #onEvent: OnParentEvent;
  #stage: ParentStage = "credentials";
  #isReady = false;
  #missing: readonly string[] = [];
  #launchCount = 0;
  #failureCount = 0;
  #enclave: KnownEnclave | undefined;
  #lastFailure: ParentFailure | undefined;
  #lastEnd: EnclaveEnd | undefined;

  /**
   * Begins without anything.
   *
   * @param onEvent Is told of each change
   */
  constructor(onEvent: OnParentEvent) {
    this.#onEvent = onEvent;
  }

  /** Step that the parent is at. */
  get stage(): ParentStage {
    return this.#stage;
  }

  /** Parts that the enclave said are missing. */
  get missing(): readonly string[] {
    return this.#missing;
  }

  /** Whether the enclave said last that it is ready, and has not ended. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /**
   * Makes the state.
   *
   * @param credentials State of pushing them
   */
  toState(credentials: PushState | undefined): ParentState {
    return {
      stage: this.#stage,
      isReady: this.#isReady,
      missing: this.#missing,
      launchCount: this.#launchCount,
      failureCount: this.#failureCount,
      enclave: this.#enclave,
      credentials,
      lastFailure: this.#lastFailure,
      lastEnd: this.#lastEnd,
    };
  }

  /** Enters a step. */
  enter(stage: ParentStage): void {
    this.#stage = stage;
    this.#onEvent({ event: "stage", stage });
  }

  /** Knows an enclave that was launched, and notes its end. */
  know(enclave: RunningEnclave): void {
    const { id, name, cid, cpuCount, memoryMib, isDebug } = enclave;
    this.#launchCount++;
    this.#missing = [];
    this.#enclave = { id, name, cid, cpuCount, memoryMib, isDebug, launchedAtMs: Date.now() };
    this.#onEvent({ event: "launched", enclave: this.#enclave });
    void enclave.ended.then((end) => {
      this.#lastEnd = end;
      this.#isReady = false;
      this.#onEvent({ event: "enclave-ended", end });
    });
  }

  /** Forgets the enclave, which has ended for certain. */
  forgetEnclave(): void {
    this.#enclave = undefined;
  }

  /**
   * Notes what the enclave says of its readiness.
   *
   * @param isReady Whether it is ready
   * @param missing Parts that are missing
   * @param afterMs Milliseconds since its launch, at its first readiness
   */
  setReadiness(isReady: boolean, missing: readonly string[], afterMs = 0): void {
    const hasChanged = isReady !== this.#isReady;
    this.#isReady = isReady;
    this.#missing = missing;
    if (hasChanged) this.#onEvent(isReady ? { event: "ready", afterMs } : { event: "unready", missing });
  }

  /** Notes that nothing is ready any more, without an event. */
  setEnded(): void {
    this.#isReady = false;
  }

  /**
   * Notes a failure at the present step.
   *
   * @param error The error
   * @param pauseMs Milliseconds before the next start; undefined for a failure that leads to none
   */
  note(error: unknown, pauseMs: number | undefined): void {
    if (pauseMs !== undefined) this.#failureCount++;
    this.#lastFailure = failureOf(this.#stage, error);
    this.#onEvent({ event: "failure", failure: this.#lastFailure, pauseMs });
  }
}
