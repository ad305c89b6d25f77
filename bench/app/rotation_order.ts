/** Requests that are in flight at once. */
export const IN_FLIGHT = 64;

/** Order that the process of a rotation reads. */
export interface RotationOrder {
  /** Number of times that the credentials are replaced. */
  readonly rotations: number;
  /** Folder for the socket of the control listener. */
  readonly folder: string;
}

/** Findings about credentials that rotated. */
export interface Rotated {
  readonly rotations: number;
  /** Milliseconds that all rotations took, and what ran beside them. */
  readonly ms: number;
  /** Requests that were answered meanwhile, or not. */
  readonly requests: number;
  /** Requests that were not answered with 200. */
  readonly failures: number;
}
