/**
 * Need of an application, for its readiness: KMS with an engine and credentials, or a policy. The NSM is always needed.
 */
export type Need = "kms" | "policy";

/** Needs of an application that declares none. */
export const ALL_NEEDS: readonly Need[] = ["kms", "policy"];

/** Readiness of an application's own parts, for `GET /readyz`. */
export interface ApplicationReadiness {
  /** Parts by name, and whether each is there. While one is not, the answer is 503. */
  readonly parts: Readonly<Record<string, boolean>>;
  /** Sentences about what works and should be looked after, such as data that could not be refreshed. Default: none. */
  readonly warnings?: readonly string[] | undefined;
}

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
