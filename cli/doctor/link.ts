import type { LinkName, Verdict } from "./finding.ts";
import type { Examination } from "./examination.ts";

/** One link and its examination, which has the steps that the link takes. */
export interface Link<Steps = Examination> {
  /** Name of the link. */
  readonly name: LinkName;
  /** Links that must work before this one can be tried. */
  readonly needs: readonly LinkName[];
  /** Verdict when the link does not answer in time: broken, or untried when another link may be the cause. */
  readonly silence: Pick<Verdict, "what" | "hint"> & { readonly state?: "untried" };
  /**
   * Examines the link. An error that it throws means broken.
   *
   * @param examination Shared steps, and findings of other links
   */
  examine(examination: Steps): Verdict | Promise<Verdict>;
}
