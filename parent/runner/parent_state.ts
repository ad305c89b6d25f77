import type { EnclaveKmsError } from "../../lib/core/errors.ts";
import type { EnclaveEnd, RunningEnclave } from "../running_enclave.ts";
import type { PushState } from "../credentials/push_events.ts";

/** Step that the parent is at. `watch` is the last one: the enclave was ready, and is looked after. */
export const PARENT_STAGES = [
  "credentials",
  "artefacts",
  "services",
  "launch",
  "wait",
  "inject",
  "watch",
  "pause",
  "drain",
  "ended",
] as const;

/** Step that the parent is at. */
export type ParentStage = typeof PARENT_STAGES[number];

/** Failure of a step. */
export interface ParentFailure {
  /** Step that failed. */
  readonly stage: ParentStage;
  /** Time, milliseconds since 1970. */
  readonly atMs: number;
  /** Stable code; `ERR_UNEXPECTED` for an error that is none of the library's. */
  readonly code: string;
  /** Failure, without any secret. */
  readonly message: string;
  /** Likeliest cause. */
  readonly hint: string;
}

/** Enclave that runs, as the parent knows it. */
export type KnownEnclave =
  & Pick<RunningEnclave, "id" | "name" | "cid" | "cpuCount" | "memoryMib" | "isDebug">
  & {
    /** Time of its launch, milliseconds since 1970. */
    readonly launchedAtMs: number;
  };

/** State of the parent, as far as it was seen: nothing in it is assumed. */
export interface ParentState {
  /** Step that it is at. */
  readonly stage: ParentStage;
  /** Whether the enclave said that it is ready when it was last asked, and has not ended since. */
  readonly isReady: boolean;
  /** Parts that the enclave said are missing when it was last asked. */
  readonly missing: readonly string[];
  /** Launches that succeeded. */
  readonly launchCount: number;
  /** Starts and runs that failed. */
  readonly failureCount: number;
  /** Enclave that runs; undefined when there is none. */
  readonly enclave: KnownEnclave | undefined;
  /** Credentials that were pushed to it; undefined before the first push. */
  readonly credentials: PushState | undefined;
  /** Failure that came last. */
  readonly lastFailure: ParentFailure | undefined;
  /** End of the enclave that ended last. */
  readonly lastEnd: EnclaveEnd | undefined;
}

/** Event of the parent's life, for a log. */
export type ParentEvent =
  | { readonly event: "stage"; readonly stage: ParentStage }
  | { readonly event: "launched"; readonly enclave: KnownEnclave }
  | { readonly event: "service"; readonly kind: string; readonly address: string }
  | { readonly event: "credentials"; readonly reason: string; readonly isKept: boolean }
  | { readonly event: "secret"; readonly name: string; readonly port: number; readonly bytes: number }
  | { readonly event: "ready"; readonly afterMs: number }
  | { readonly event: "unready"; readonly missing: readonly string[] }
  | { readonly event: "enclave-ended"; readonly end: EnclaveEnd }
  | { readonly event: "failure"; readonly failure: ParentFailure; readonly pauseMs: number | undefined }
  | { readonly event: "notice"; readonly message: string };

/** Receiver of events. It must not throw. */
export type OnParentEvent = (event: ParentEvent) => void;

/**
 * Describes an error for a state or a log. Of an error that is none of the library's only its name is told, since its
 * message may hold anything.
 *
 * @param stage Step that failed
 * @param error The error
 */
export function failureOf(stage: ParentStage, error: unknown): ParentFailure {
  const { code, message, hint } = error as Partial<EnclaveKmsError>;
  const atMs = Date.now();
  if (typeof code === "string" && code.startsWith("ERR_") && typeof hint === "string") {
    return { stage, atMs, code, message: message ?? code, hint };
  }
  const isMistake = error instanceof TypeError || error instanceof RangeError;
  return {
    stage,
    atMs,
    code: "ERR_UNEXPECTED",
    message: isMistake
      ? error.message
      : `an unexpected ${error instanceof Error ? error.name : typeof error}`,
    hint: isMistake ? "Mend that setting" : "This is a defect: please report it",
  };
}
