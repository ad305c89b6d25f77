import type { CredentialStore } from "./credential_store.ts";

/** Region and credentials of a request: the server's own, or those of one kmstool connection. */
export interface Scope {
  /** Region of the keys. */
  readonly region: string;
  /** Sign the requests. */
  readonly credentials: CredentialStore;
}

/**
 * Names the quota that KMS counts a scope's requests against. It is that of an account in a region; the access key id
 * stands for the account, which is not known here.
 *
 * @param scope Region and credentials
 */
export function quotaOf({ region, credentials }: Scope): string {
  return `${region} ${credentials.accessKeyId ?? ""}`;
}
