import { CALL_FIELDS } from "../lib/core/call_options.ts";
import { checkFields } from "../lib/core/checks.ts";
import { MAX_ATTESTED_NONCE_BYTES } from "../lib/nsm/nsm_client.ts";

/**
 * Checks the nonce of a document that is asked for.
 *
 * @param request Request
 * @returns 1 to 512 bytes
 */
export function checkNonce(request: { readonly nonce: Uint8Array }): Uint8Array {
  const { nonce } = checkFields("attestation request", request, ["nonce"]);
  if (!(nonce instanceof Uint8Array)) throw new TypeError("nonce must be a Uint8Array");
  if (nonce.length > 0 && nonce.length <= MAX_ATTESTED_NONCE_BYTES) return nonce;
  throw new RangeError(`nonce must have 1 to ${MAX_ATTESTED_NONCE_BYTES} bytes`);
}

/**
 * Checks data to sign or hash.
 *
 * @param data Any number of bytes
 */
export function checkBytes(data: unknown): void {
  if (!(data instanceof Uint8Array)) throw new TypeError("data must be a Uint8Array");
}

/**
 * Refuses what would be checked and then not heeded.
 *
 * @param request Request of an operation
 */
export function refuseCallOptions(request: unknown): void {
  const option = CALL_FIELDS.find((name) => Object.hasOwn(Object(request), name));
  if (option !== undefined) throw new TypeError(`${option} must be left out: the request's own holds`);
}
