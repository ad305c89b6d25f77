/** Links of the chain from this process to a plaintext, in order, and those of the parent. */
export type LinkName =
  | "runtime"
  | "permissions"
  | "crypto"
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
  | "policy"
  | "imds"
  | "role"
  | "s3"
  | "launch"
  | "injection";

/**
 * State of a link: `untried` when a link that it needs is broken, `unneeded` when this set-up does not use
 * it.
 */
export type LinkState = "ok" | "warning" | "broken" | "untried" | "unneeded";

/** Verdict on one link. Holds no secret. */
export interface Verdict {
  /** State of the link. */
  readonly state: LinkState;
  /** Finding in one sentence, without a full stop. */
  readonly what: string;
  /** Advice on mending the link. */
  readonly hint?: string | undefined;
  /** Error code of the library, if there was an error. */
  readonly code?: string | undefined;
}

/** Verdict with the link's name. */
export interface Finding extends Verdict {
  /** Name of the link. */
  readonly link: LinkName;
  /** Time from the start of the examination to the verdict, in milliseconds. */
  readonly ms: number;
}

/** Makes the verdict on a link that works. */
export function ok(what: string): Verdict {
  return { state: "ok", what };
}

/** Makes the verdict on a link that works, in a way that the operator should know about. */
export function warning(what: string, hint: string): Verdict {
  return { state: "warning", what, hint };
}

/** Makes the verdict on a broken link. */
export function broken(what: string, hint: string, code?: string): Verdict {
  return { state: "broken", what, hint, code };
}

/** Makes the verdict on a link that this set-up does not use. */
export function unneeded(what: string): Verdict {
  return { state: "unneeded", what };
}

/** Makes the verdict on a link that could not be tried. */
export function untried(what: string): Verdict {
  return { state: "untried", what };
}
