/** Largest record that a store may give, in bytes: 16 KiB. A record has about 4 KiB at most. */
export const MAX_STORED_BYTES = 16_384;

/** Limits of one call of a {@link SharedKeyStore}. */
export interface StoreCall {
  /** Aborts when the time for the call is up. The caller does not wait any longer then, whatever the store does. */
  readonly signal: AbortSignal;
  /** Most bytes that the caller takes: {@link MAX_STORED_BYTES}. */
  readonly maxBytes: number;
}

/**
 * Store of the records of shared keys. Nothing in it is secret, and nothing that it says is believed: records are
 * checked after they are read. What it must do is to keep the first of two writes.
 */
export interface SharedKeyStore {
  /**
   * Reads a record, as it was written last: no cache, and no replica that lags behind.
   *
   * @param name Name of the record, 1 to 80 letters, digits, `.`, `_` and `-`
   * @param call Limits of the call
   * @returns The record; undefined when there is none of this name. Any other failure must throw
   */
  read(name: string, call: StoreCall): Promise<Uint8Array | undefined>;
  /**
   * Writes a record if there is none of this name, in one step. Of several at once one must win.
   *
   * @param name Name of the record, as for `read`
   * @param bytes The record
   * @param call Limits of the call
   * @returns Whether it was written; false when there is one already
   */
  create(name: string, bytes: Uint8Array<ArrayBuffer>, call: StoreCall): Promise<boolean>;
}

/**
 * Checks that a value may be called as a store.
 *
 * @param store The value
 * @returns The store
 * @throws {TypeError} When it is none
 */
export function checkStore(store: unknown): SharedKeyStore {
  const { read, create } = (store ?? {}) as Partial<SharedKeyStore>;
  if (typeof read === "function" && typeof create === "function") return store as SharedKeyStore;
  throw new TypeError("store must have the methods read and create, as s3KeyStore() and others make it");
}
