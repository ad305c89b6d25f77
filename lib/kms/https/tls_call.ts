import type { Deadline } from "../../core/deadline.ts";
import type { TimeoutStage } from "../../core/timeout_stage.ts";

/** The one call that a connection is opened for. */
export interface TlsCall {
  /** When to give up. */
  readonly deadline: Deadline;
  /** Aborts with the deadline, and when the agent's owner is disposed. */
  readonly signal: AbortSignal;
  /** Is told each stage besides the deadline. */
  readonly onStage?: ((stage: TimeoutStage) => void) | undefined;
}

/** Notes the stage that a call is in. */
export function tellStage({ deadline, onStage }: TlsCall, stage: TimeoutStage): void {
  deadline.stage = stage;
  onStage?.(stage);
}

/**
 * Settles as `work` does, unless the signal aborts first.
 *
 * @param work Work to wait for; it goes on after an abort
 * @param signal Its reason becomes the rejection
 * @param release Releases a result that comes too late
 */
export function unlessAborted<T>(
  work: Promise<T>,
  signal: AbortSignal,
  release: (late: T) => void = ignore,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(signal.reason);
      work.then(release, ignore);
    };
    const settle = <V>(settled: (value: V) => void) => (value: V) => {
      if (signal.aborted) return;
      signal.removeEventListener("abort", abort);
      settled(value);
    };
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    work.then(settle(resolve), settle(reject));
  });
}

function ignore(): void {}
