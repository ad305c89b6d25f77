import type { Credentials, DecryptRequest, KmsClientOptions } from "../../mod.ts";

/** What the process under test is told to do. */
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
  /** How many measurements follow the first. */
  readonly samples: number;
  /** Every so manieth call is aborted under way; 0 for none. */
  readonly abandonEvery: number;
  /** Path of the compiled `memory_probe.c`. */
  readonly probe: string;
  /** Further calls, of which the soak has to see what is wrong: they are measured by themselves. */
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

/** What the process does wrong. */
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

/** What the process held between two batches of calls, with none in flight. */
export interface Footprint {
  /** Calls so far, without those of the warm-up. */
  readonly calls: number;
  /** V8's heap after garbage collection. */
  readonly heapBytes: number;
  /** What malloc has handed out. */
  readonly nativeBytes: number;
  /** Resident memory that is no file's. */
  readonly residentBytes: number;
  readonly threads: number;
  readonly sockets: number;
  /** Descriptors that are no sockets. */
  readonly files: number;
  /** What became of the calls, the warm-up's among them; a control's by themselves. */
  readonly outcomes: Outcomes;
}

/** How many calls ended in which way. */
export interface Outcomes {
  /** The right plaintext. */
  readonly decrypted: number;
  /** The right refusal. */
  readonly refused: number;
  /** Given up by the caller, with the caller's reason. */
  readonly abandoned: number;
  /** Anything else. */
  readonly wrong: number;
  /** What the first of these was. */
  readonly firstWrong?: string | undefined;
}
