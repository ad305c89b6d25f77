import type { Duplex } from "node:stream";
import { CALL_FIELDS, type CallOptions, checkCall } from "../core/call_options.ts";
import { checkFields } from "../core/checks.ts";
import { Deadline } from "../core/deadline.ts";
import { checkEndpoint, type Endpoint } from "../core/endpoint.ts";
import { openTransport, type PeerWords } from "./open_transport.ts";

const DEFAULT_TIMEOUT_MS = 10_000;

/**
 * Connects to a vsock, TCP or unix endpoint.
 *
 * On Deno vsock needs the flag `--unstable-vsock` and `--allow-net=vsock:-1:<port>`; on Node it needs koffi, which is
 * installed with this package.
 *
 * Not guaranteed: privacy. Bytes travel in the clear, and a parent reads everything that an enclave sends over vsock.
 *
 * @param endpoint Address of the peer
 * @param options Signal and time-out of the attempt, in milliseconds. Default: 10000
 * @returns The connected stream. The caller ends or destroys it
 * @throws {TypeError} When the endpoint or an option is of a wrong type
 * @throws {RangeError} When a number is out of range
 * @throws {ConnectionError} When nothing answers there
 * @throws {TimeoutError} When the time is up first
 */
export async function connect(endpoint: Endpoint, options: CallOptions = {}): Promise<Duplex> {
  const target = checkEndpoint(endpoint);
  const call = checkCall(checkFields("connect options", options, CALL_FIELDS), DEFAULT_TIMEOUT_MS);
  using deadline = new Deadline("connect", call.timeoutMs, call.signal, "connect");
  return await openTransport(target, deadline, PEER);
}

/** Words of a failure to connect to any peer, which need not be KMS. */
const PEER: PeerWords = { name: "the peer", hint: "Is anything listening there?" };
