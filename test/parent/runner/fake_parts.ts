import type { PushState } from "../../../parent/credentials/push_events.ts";
import type { EnclaveEnd, RunningEnclave } from "../../../parent/running_enclave.ts";
import type { ParentParts, SealedSecret } from "../../../parent/runner/parts.ts";
import type { ParentEvent, ParentState } from "../../../parent/runner/parent_state.ts";
import { Supervisor, type SupervisorTimes } from "../../../parent/runner/supervisor.ts";
import { until } from "../../support/until.ts";

/** State of a pusher after its first push. */
export const PUSHED: PushState = {
  generation: 1,
  credentials: undefined,
  expiresAtMs: Date.now() + 60_000,
  isDelivered: true,
  pushedAtMs: Date.now(),
  failure: undefined,
  enclave: "unknown",
  counts: { pushed: 3, unchanged: 0, sourceFailed: 1, sendFailed: 0, watchFailed: 0, restarts: 0 },
};

/** Enclave that the test ends. */
export class FakeEnclave implements RunningEnclave {
  readonly name = "app";
  readonly cid = 16;
  readonly cpuCount = 2;
  readonly memoryMib = 512;
  readonly isDebug = false;
  readonly ended: Promise<EnclaveEnd>;
  readonly id: string;
  readonly #world: FakeWorld;
  readonly #end = Promise.withResolvers<EnclaveEnd>();

  constructor(world: FakeWorld, number: number) {
    this.#world = world;
    this.id = `enclave ${number}`;
    this.ended = this.#end.promise;
  }

  /** Ends it as if by itself. */
  die(reason = "it died"): void {
    this.#end.resolve({ atMs: Date.now(), reason, wasAskedFor: false });
  }

  async terminate(): Promise<void> {
    this.#world.steps.push(`terminate ${this.id}`);
    await this.#world.fail("terminate");
    this.#end.resolve({ atMs: Date.now(), reason: "it was terminated", wasAskedFor: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.terminate();
  }
}

type Step =
  | Extract<keyof ParentParts, string>
  | "askReadiness"
  | "sendSecret"
  | "shutDown"
  | "terminate";

/** Parts of a parent that note what is done with them, and fail or hang on demand. */
export class FakeWorld implements AsyncDisposable {
  /** Steps in their order. */
  readonly steps: string[] = [];
  readonly events: ParentEvent[] = [];
  readonly enclaves: FakeEnclave[] = [];
  /** Whether the enclave had credentials, as the pushing was told. */
  readonly sights: boolean[] = [];
  /** Questions for its readiness so far. */
  questions = 0;
  /** Parts that the enclave says are missing; undefined when it does not answer. */
  missing: readonly string[] | undefined = [];
  secrets: readonly SealedSecret[] = [{ name: "age-key", port: 7101, content: new Uint8Array(3) }];
  readonly #faults = new Map<Step, "hang" | Error>();
  #supervisor: Supervisor | undefined;

  /** Makes a step fail, or hang until it is aborted; undefined mends it. */
  break(step: Step, fault: "hang" | Error | undefined): void {
    if (fault === undefined) this.#faults.delete(step);
    else this.#faults.set(step, fault);
  }

  async fail(step: Step, signal?: AbortSignal): Promise<void> {
    const fault = this.#faults.get(step);
    if (fault instanceof Error) throw fault;
    if (fault === undefined) return;
    await new Promise((_, reject) => {
      signal?.throwIfAborted();
      signal?.addEventListener("abort", () => reject(signal.reason as Error));
    });
  }

  async #take(step: Step, signal?: AbortSignal): Promise<void> {
    this.steps.push(step);
    await this.fail(step, signal);
  }

  readonly parts: ParentParts = {
    checkCredentials: (signal) => this.#take("checkCredentials", signal),
    readSecrets: async (signal) => {
      await this.#take("readSecrets", signal);
      return this.secrets;
    },
    openServices: async () => {
      await this.#take("openServices");
      return [{
        kind: "kms-proxy",
        address: "vsock:8000",
        counters: {},
        [Symbol.asyncDispose]: () =>
          this.#take("openServices").then(() => void this.steps.push("services closed")),
      }];
    },
    launch: async (signal) => {
      await this.#take("launch", signal);
      const enclave = new FakeEnclave(this, this.enclaves.length + 1);
      this.enclaves.push(enclave);
      return enclave;
    },
    converse: () => ({
      askReadiness: async (signal) => {
        this.questions++;
        await this.fail("askReadiness", signal);
        return this.missing && { isReady: this.missing.length === 0, missing: this.missing };
      },
      readMetrics: () => Promise.resolve(undefined),
      sendSecret: ({ name, port }, signal) => {
        this.steps.push(`secret ${name} ${port}`);
        return this.fail("sendSecret", signal);
      },
      shutDown: async (signal) => {
        await this.#take("shutDown", signal);
        this.enclaves.at(-1)?.die("it was shut down");
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
    startPushing: async (_enclave, signal) => {
      await this.#take("startPushing", signal);
      return {
        state: PUSHED,
        noteEnclave: (hasCredentials) => void this.sights.push(hasCredentials),
        [Symbol.asyncDispose]: () => Promise.resolve(void this.steps.push("pushing ended")),
      };
    },
    [Symbol.asyncDispose]: () => Promise.resolve(void this.steps.push("parts ended")),
  };

  /** Starts a supervisor with short times. */
  start(times: Partial<SupervisorTimes> = {}): Supervisor {
    return this.#supervisor = new Supervisor(this.parts, {
      readinessMs: 60_000,
      intervalMs: 1,
      unreachableMs: 60_000,
      graceMs: 60_000,
      firstPauseMs: 1,
      maxPauseMs: 4,
      ...times,
    }, (event) => this.events.push(event));
  }

  /** Waits for a state. */
  async reach(condition: (state: ParentState) => boolean): Promise<ParentState> {
    const supervisor = this.#supervisor as Supervisor;
    await until(() => condition(supervisor.state), () => JSON.stringify(supervisor.state));
    return supervisor.state;
  }

  /** Stages that were entered, in order. */
  get stages(): readonly string[] {
    return this.events.flatMap((event) => event.event === "stage" ? [event.stage] : []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const step of ["terminate", "shutDown"] as const) this.break(step, undefined);
    await this.#supervisor?.stop();
  }
}
