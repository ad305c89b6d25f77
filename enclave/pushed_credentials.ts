import type { OwnedCredentials } from "../lib/aws/credentials.ts";
import type { CredentialStore } from "./credential_store.ts";

/** Stores of enclaves: no part of their public face. */
const stores = new WeakMap<object, CredentialStore>();

/**
 * Notes the store that the parent pushes an enclave's credentials to.
 *
 * @param enclave The enclave
 * @param store Its store
 */
export function notePushedCredentials(enclave: object, store: CredentialStore): void {
  stores.set(enclave, store);
}

/**
 * Finds the credentials that the parent pushes to an enclave.
 *
 * @param enclave The enclave
 * @returns Function that takes a hold of those in force, and throws when there are none; undefined for no enclave
 */
export function pushedCredentialsOf(enclave: object): (() => OwnedCredentials) | undefined {
  const store = stores.get(enclave);
  return store === undefined ? undefined : () => store.hold();
}
