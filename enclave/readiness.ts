/**
 * Need of an application, for its readiness: KMS with an engine and credentials, or a policy. The NSM is always needed.
 */
export type Need = "kms" | "policy";

/** Needs of an application that declares none. */
export const ALL_NEEDS: readonly Need[] = ["kms", "policy"];

/** Parts that must be there before an application can work; those that it does not need are left out. */
export interface Readiness {
  /** The engine and its library. */
  readonly library?: boolean;
  /** The Nitro Secure Module answers. */
  readonly nsm: boolean;
  /** Credentials are set, and KMS has not refused them. */
  readonly credentials?: boolean;
  /** A policy is loaded. */
  readonly policy?: boolean;
  /** KMS has told the time, by which tokens and certificates are judged; not there where neither is taken. */
  readonly clock?: boolean;
}
