import type { OwnedCredentials } from "./credentials.ts";

/** Description of credentials in the log: nothing that signs, and not the whole key id. */
export interface LoggedCredentials {
  /** First and last four characters of the access key id. */
  readonly accessKeyId: string;
  /** Expiration in ISO 8601, where it is known. */
  readonly expiration?: string | undefined;
  /** Generation, once they are set. */
  readonly generation?: number | undefined;
}

/** Least characters of an access key id of AWS. A shorter one may be anything, and eight of its characters too many. */
const MIN_KEY_ID_LENGTH = 16;

/**
 * Describes credentials for the log.
 *
 * @param credentials Credentials after every check
 * @param generation Generation, once they are set
 * @returns Their description
 */
export function describeCredentials(
  { accessKeyId, expiresAtMs }: OwnedCredentials,
  generation?: number,
): LoggedCredentials {
  return {
    accessKeyId: maskKeyId(accessKeyId),
    expiration: expiresAtMs === undefined ? undefined : new Date(expiresAtMs).toISOString(),
    generation,
  };
}

function maskKeyId(accessKeyId: string): string {
  if (accessKeyId.length < MIN_KEY_ID_LENGTH) return "...";
  return `${accessKeyId.slice(0, 4)}...${accessKeyId.slice(-4)}`;
}
