/** The links of the chain from this process to a plaintext, in their order. */
export type LinkName =
  | "runtime"
  | "permissions"
  | "library"
  | "nsm"
  | "vsock"
  | "proxy"
  | "tls"
  | "kms"
  | "clock"
  | "entropy"
  | "credentials"
  | "round-trip"
  | "policy";

/**
 * How a link was found: `untried` when one that it hangs on is broken, `unneeded` when this set-up does without.
 */
export type LinkState = "ok" | "warning" | "broken" | "untried" | "unneeded";

/** What was found of one link. Holds no secret. */
export interface Verdict {
  /** How it is. */
  readonly state: LinkState;
  /** In one sentence, without a full stop. */
  readonly what: string;
  /** How to mend it. */
  readonly hint?: string | undefined;
  /** The library's error code, where there was an error. */
  readonly code?: string | undefined;
}

/** A verdict, and whose it is. */
export interface Finding extends Verdict {
  /** Which link. */
  readonly link: LinkName;
  /** From the start of the examination to the verdict, in milliseconds. */
  readonly ms: number;
}

/** @returns A link that works */
export function ok(what: string): Verdict {
  return { state: "ok", what };
}

/** @returns A link that works, in a way its owner should know of */
export function warning(what: string, hint: string): Verdict {
  return { state: "warning", what, hint };
}

/** @returns A link that is broken */
export function broken(what: string, hint: string, code?: string): Verdict {
  return { state: "broken", what, hint, code };
}

/** @returns A link that this set-up does without */
export function unneeded(what: string): Verdict {
  return { state: "unneeded", what };
}

/** @returns A link that could not be tried */
export function untried(what: string): Verdict {
  return { state: "untried", what };
}
