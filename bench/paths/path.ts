import type { Parts, RoundTripMs, Sample, Setting } from "../setting.ts";

/** One way to a plaintext. */
export interface Path extends AsyncDisposable {
  /**
   * Decrypts a sample.
   *
   * @param sample Ciphertext and its plaintext
   * @returns Whether the plaintext is right
   */
  decrypt(sample: Sample): Promise<boolean>;
}

/** Makes a path ready, over one network. */
export type OpenPath = (setting: Setting, parts: Parts, roundTripMs: RoundTripMs) => Promise<Path>;

/** Description of a path, and the function that opens it. */
export interface PathKind {
  /** Names the path in the table. */
  label(parts: Parts): string;
  /** Gives the reason why it cannot be measured here; undefined when it can. */
  missing?(parts: Parts): string | undefined;
  /** Whether a call costs so much that it is measured less often. */
  readonly isSlow?: true;
  /** Whether processes of its own do the work. */
  readonly spawns?: true;
  /** Loads what it needs, and only that. */
  readonly open: OpenPath;
}
