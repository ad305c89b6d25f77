import type { Deadline } from "../core/deadline.ts";
import type { VsockEndpoint } from "../core/endpoint.ts";
import { SocketDescriptor } from "../native/socket_descriptor.ts";
import type { ConnectionStream } from "./connection.ts";

/**
 * Connects over AF_VSOCK, which Node does not know: through libc, and then handed to Node's event loop.
 *
 * @param endpoint The peer
 * @param deadline Deadline of the attempt
 * @returns The connected stream; the caller destroys it
 * @throws {ConnectionError} If nothing listens there, or there is no vsock
 * @throws {TimeoutError} If the deadline passes
 */
export async function connectVsock(
  { cid, port }: VsockEndpoint,
  deadline: Deadline,
): Promise<ConnectionStream> {
  deadline.throwIfPassed();
  const connecting = SocketDescriptor.connectVsock(cid, port, Math.max(1, deadline.remainingMs));
  connecting.then((late) => deadline.signal.aborted && late[Symbol.dispose](), () => {});
  using descriptor = await deadline.race(connecting);
  return descriptor.handOver();
}
