import type { Credentials, DecryptRequest, KmsClientOptions } from "../../mod.ts";

/** Task of the process under test. */
export interface SoakTask {
  readonly options: Omit<KmsClientOptions, "credentials">;
  /** Used in turn, each for a few seconds. */
  readonly credentials: readonly Credentials[];
  /** Gone through in a circle. More than `concurrency`, so that no two calls in flight are the same. */
  readonly requests: readonly SoakRequest[];
  readonly concurrency: number;
  /** Calls before the first measurement. */
  readonly warmUp: number;
  /** Calls after it. */
  readonly calls: number;
  /** Number of measurements after the first. */
  readonly samples: number;
  /** Every so manieth call is aborted under way; 0 for none. */
  readonly abandonEvery: number;
  /** Path of the compiled `memory_probe.c`. */
  readonly probe: string;
  /** Further calls, of which the soak must see what is wrong: they are measured by themselves. */
  readonly control?: Control | undefined;
}

/** Calls that are done wrong on purpose, by a process that was warm before. */
export interface Control {
  readonly calls: number;
  readonly sabotage: Sabotage;
}

/** One request, and what must come of it. */
export interface SoakRequest extends Omit<DecryptRequest, "ciphertext"> {
  /** Base64. */
  readonly ciphertext: string;
  /** Base64. */
  readonly plaintext?: string | undefined;
  /** KMS's refusal, where there is no plaintext. */
  readonly kmsCode?: string | undefined;
}

/** Faults of the process. */
export interface Sabotage {
  /** Bytes of C memory that each call loses. */
  readonly nativeBytes: number;
  /** Bytes of V8's heap that each call keeps. */
  readonly heapBytes: number;
  /** After how many calls another descriptor is left open. */
  readonly descriptorEvery: number;
  /** The call whose answer is compared with what another was to have; the first is 0. */
  readonly crossedCall: number;
}

/** Memory and descriptors of the process between two batches of calls, with none in flight. */
export interface Footprint {
  /** Calls so far, without those of the warm-up. */
  readonly calls: number;
  /** V8's heap after garbage collection. */
  readonly heapBytes: number;
  /** Bytes that malloc has handed out. */
  readonly nativeBytes: number;
  /** Resident memory that is no file's. */
  readonly residentBytes: number;
  readonly threads: number;
  readonly sockets: number;
  /** Descriptors that are no sockets. */
  readonly files: number;
  /** Outcomes of the calls, with those of the warm-up; a control has only its own. */
  readonly outcomes: Outcomes;
}

/** Counts of calls by outcome. */
export interface Outcomes {
  /** The right plaintext. */
  readonly decrypted: number;
  /** The right refusal. */
  readonly refused: number;
  /** Given up by the caller, with the caller's reason. */
  readonly abandoned: number;
  /** Anything else. */
  readonly wrong: number;
  /** First wrong outcome. */
  readonly firstWrong?: string | undefined;
}
