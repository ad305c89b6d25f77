/**
 * Names inside of a sealed request, beside those of Oblivious HTTP.
 *
 * @module
 */

/** Route that sealed requests are posted to. */
export const SEALED_PATH = "/v1/sealed";

/** Header with the id of the boot that a request is for, 32 hex digits. */
export const BOOT_ID_FIELD = "enclave-boot-id";

/** Header with the id of a request, 32 hex digits: it stays the same when a caller seals the request once more. */
export const REQUEST_ID_FIELD = "enclave-request-id";

/** Milliseconds that a request's date may lie behind the enclave's clock. */
export const SEALED_PAST_MS = 60_000;

/** Milliseconds for which the enclave remembers an id after its date is refused: the id may have a later date, too. */
export const SEALED_KEPT_MS = 120_000;
