import { decode, encode } from "cbor2";
import type { NsmTransport } from "../../../lib/nsm/nsm_transport.ts";

/**
 * Sends any request to a module.
 *
 * @param nsm The module
 * @param request Request, which is encoded as CBOR
 * @returns The decoded answer
 */
export async function ask(nsm: NsmTransport, request: unknown): Promise<unknown> {
  return decode(await nsm.exchange(new Uint8Array(encode(request))));
}
