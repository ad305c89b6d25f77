import type { NsmTransport } from "./nsm_transport.ts";
import { NsmDevice } from "../native/nsm_device.ts";

/**
 * Opens this enclave's own Nitro Secure Module.
 *
 * @returns The module; the caller disposes it
 * @throws {AttestationError} When there is no `/dev/nsm`, or it may not be opened
 */
export function openNsm(): NsmTransport {
  return NsmDevice.open();
}
