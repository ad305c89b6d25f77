/** Times of a rotation, in milliseconds. */
export interface RotationTimes {
  /** From the making of a version until it is used. */
  readonly settleMs: number;
  /** From the use of a version until the one before is wiped. */
  readonly overlapMs: number;
}

/** Version, as far as its times go. */
export interface AgedVersion {
  /** Version, from 1. */
  readonly version: number;
  /** Milliseconds since it was made, as far as this enclave knows. */
  readonly ageMs: number;
}

/** Use of the versions that are loaded. */
export interface Use<T extends AgedVersion> {
  /** Version to seal, sign and encrypt with. */
  readonly current: T;
  /** Versions that open, the newest first. */
  readonly open: readonly T[];
  /** Versions whose time is up. */
  readonly ended: readonly T[];
}

/**
 * Tells what the loaded versions are used for. The newest is used once it is old enough that every enclave has looked
 * for it, and the one before opens for the overlap after that.
 *
 * @param versions Loaded versions, the newest first, one at least
 * @param times Times of a rotation
 */
export function useOf<T extends AgedVersion>(
  versions: readonly T[],
  { settleMs, overlapMs }: RotationTimes,
): Use<T> {
  const current = versions.find(({ ageMs }) => ageMs >= settleMs) ?? versions.at(-1)!;
  // The one after a version is before it in the list.
  const isEnded = (_: T, i: number) => i > 0 && versions[i - 1]!.ageMs >= settleMs + overlapMs;
  const first = versions.findIndex(isEnded);
  return first < 0
    ? { current, open: versions, ended: [] }
    : { current, open: versions.slice(0, first), ended: versions.slice(first) };
}
