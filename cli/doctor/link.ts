import type { LinkName, Verdict } from "./finding.ts";
import type { Examination } from "./examination.ts";

/** How one link is examined. */
export interface Link {
  /** Which. */
  readonly name: LinkName;
  /** The links without which it cannot be tried. */
  readonly needs: readonly LinkName[];
  /** What to say when it does not answer in time: it is broken, or untried where others are to blame. */
  readonly silence: Pick<Verdict, "what" | "hint"> & { readonly state?: "untried" };
  /**
   * Examines it. What it throws is a verdict, too: broken.
   *
   * @param examination What is examined, and what other links found
   */
  examine(examination: Examination): Verdict | Promise<Verdict>;
}
