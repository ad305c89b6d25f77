import type { Deadline } from "../core/deadline.ts";
import type { VsockEndpoint } from "../core/endpoint.ts";
import { ConnectionError, TimeoutError } from "../core/errors.ts";
import { ConnStream } from "../core/conn_stream.ts";
import type { ConnectionStream } from "./connection.ts";

/**
 * Connects over AF_VSOCK with Deno's own means; Linux then gives up on a silent peer after two seconds, however
 * late the deadline is. They want the flag `--unstable-vsock` and the permission
 * `--allow-net=vsock:-1:<port>`; without the flag Deno says so and ends the process, which cannot be caught.
 *
 * @param endpoint The peer
 * @param deadline Deadline of the attempt
 * @returns The connected stream; the caller destroys it
 * @throws {ConnectionError} If nothing listens there, there is no vsock, or no permission
 * @throws {TimeoutError} If the deadline passes, or Linux gives up
 */
export async function connectVsock(
  { cid, port }: VsockEndpoint,
  deadline: Deadline,
): Promise<ConnectionStream> {
  deadline.throwIfPassed();
  const connecting = Deno.connect({ transport: "vsock", cid, port });
  connecting.then((late) => deadline.signal.aborted && late.close(), () => {});
  try {
    return new ConnStream(await deadline.race(connecting));
  } catch (error) {
    deadline.throwIfPassed();
    throw unreachable(`vsock ${cid}:${port}`, error);
  }
}

function unreachable(name: string, error: unknown): ConnectionError | TimeoutError {
  const kind = error instanceof Error ? error.name : "unknown error";
  if (kind === "TimedOut") {
    return new TimeoutError(`Cannot connect to ${name}: no answer`, {
      stage: "connect",
      hint: "No machine has that CID, or it is overloaded: from an enclave, the parent is CID 3",
      cause: error,
    });
  }
  return new ConnectionError(`Cannot connect to ${name}: ${kind}`, {
    hint: HINTS[kind] ??
      "Is the proxy running on the parent, and does this machine's kernel have vsock?",
    cause: error,
  });
}

const HINTS: Readonly<Record<string, string>> = {
  ConnectionReset:
    "Nothing listens on that port, or its backlog is full: is the proxy running on the parent?",
  ConnectionRefused: "Nothing listens there: is the proxy running?",
  NotCapable: "Deno needs the permission --allow-net=vsock:-1:<port> and the flag --unstable-vsock",
  PermissionDenied: "Do seccomp or SELinux forbid this process to use vsock?",
};
