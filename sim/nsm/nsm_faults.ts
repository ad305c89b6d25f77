import type { NsmErrorName } from "./nsm_commands.ts";

/** Fault of the simulated module. */
export type NsmFault =
  /** Refuses with this error. */
  | { readonly kind: "refuse"; readonly errorName: NsmErrorName }
  /** Never answers, unless all faults are ended. */
  | { readonly kind: "silent" }
  /** Answers after so many milliseconds. */
  | { readonly kind: "latency"; readonly ms: number }
  /** Signs documents with another key than the certificate's. */
  | { readonly kind: "wrongKey" }
  /** Puts an expired certificate into documents. */
  | { readonly kind: "expiredLeaf" }
  /** Makes documents of debug mode: PCR0 to PCR2 zero. */
  | { readonly kind: "debug" }
  /** Makes documents that are an hour old. */
  | { readonly kind: "stale" }
  /** Answers something that is not CBOR. */
  | { readonly kind: "garbage" };

/** One fault of the table. */
export interface NamedNsmFault {
  /** Effect in a few words; unique. */
  readonly name: string;
  /** Fault to inject. */
  readonly fault: NsmFault;
}

/** Every kind of fault of the simulated module, for tests that try them all. */
export const NSM_FAULTS: readonly NamedNsmFault[] = [
  { name: "refuses the operation", fault: { kind: "refuse", errorName: "InvalidOperation" } },
  { name: "fails internally", fault: { kind: "refuse", errorName: "InternalError" } },
  { name: "never answers", fault: { kind: "silent" } },
  { name: "answers after 50 ms", fault: { kind: "latency", ms: 50 } },
  { name: "signs with another key", fault: { kind: "wrongKey" } },
  { name: "shows an expired certificate", fault: { kind: "expiredLeaf" } },
  { name: "says debug mode", fault: { kind: "debug" } },
  { name: "makes old documents", fault: { kind: "stale" } },
  { name: "answers something that is not CBOR", fault: { kind: "garbage" } },
];
