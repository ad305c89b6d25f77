import type { Parts, RoundTripMs, Sample, Setting } from "../setting.ts";

/** One way to a plaintext. */
export interface Path extends AsyncDisposable {
  /**
   * @param sample What to decrypt
   * @returns Whether it came to the plaintext that it should
   */
  decrypt(sample: Sample): Promise<boolean>;
}

/** Makes a path ready, over one network. */
export type OpenPath = (setting: Setting, parts: Parts, roundTripMs: RoundTripMs) => Promise<Path>;

/** What is told of a path before anybody opens it. */
export interface PathKind {
  /** What it is called in the table. */
  label(parts: Parts): string;
  /** Why it cannot be measured here, if it cannot. */
  missing?(parts: Parts): string | undefined;
  /** Whether a call costs so much that it is measured less often. */
  readonly isSlow?: true;
  /** Whether processes of its own do the work. */
  readonly spawns?: true;
  /** Loads what it needs, and only that. */
  readonly open: OpenPath;
}
