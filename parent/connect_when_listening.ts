import { Deadline } from "../lib/core/deadline.ts";
import type { Endpoint } from "../lib/core/endpoint.ts";
import { ConnectionError, TimeoutError } from "../lib/core/errors.ts";
import { Pauses } from "../lib/core/pauses.ts";
import type { ConnectionStream } from "../lib/transport/connection.ts";
import { openTransport, type PeerWords } from "../lib/transport/open_transport.ts";

/** Longest time for one try: a kernel that starts may lose the first packet. */
const TRY_TIMEOUT_MS = 2000;

const PAUSES = { firstMs: 50, maxMs: 2000 };

const ENCLAVE: PeerWords = {
  name: "the enclave",
  hint: "Does the enclave run, and listen on that port?",
};

/** Failures that no wait can cure, as messages name them. */
const HOPELESS =
  /\b(?:EACCES|EPERM|ENOTDIR|ENOTSOCK|EAFNOSUPPORT|E[MN]FILE|NotCapable|PermissionDenied|permission missing)\b/;

/**
 * Connects to a port of an enclave, and tries again, after pauses that grow to two seconds, while nothing listens there.
 *
 * @param endpoint Address of the port
 * @param deadline End of all tries
 * @returns The connected stream; the caller destroys it
 * @throws {TimeoutError} When the time is up; its cause is the last failure. On an abort, the signal's reason
 * @throws {ConnectionError} When waiting cannot help: this process must not connect, or there is no vsock
 */
export async function connectWhenListening(
  endpoint: Endpoint,
  deadline: Deadline,
): Promise<ConnectionStream> {
  const pauses = new Pauses(PAUSES);
  for (;;) {
    const failure = await tryOnce(endpoint, deadline);
    if (!(failure instanceof Error)) return failure;
    pauses.begin();
    try {
      await deadline.sleep(pauses.remainingMs);
    } catch (error) {
      throw error instanceof TimeoutError ? notListening(error, failure) : error;
    }
  }
}

/** Tries once, and returns the stream, or a failure that waiting may cure. */
async function tryOnce(endpoint: Endpoint, deadline: Deadline): Promise<ConnectionStream | Error> {
  using one = new Deadline("connect", TRY_TIMEOUT_MS, deadline.signal, "connect");
  try {
    return await openTransport(endpoint, one, ENCLAVE);
  } catch (error) {
    if (error instanceof ConnectionError && !HOPELESS.test(error.message)) return error;
    if (error instanceof TimeoutError) return error === deadline.signal.reason ? notListening(error) : error;
    throw error;
  }
}

function notListening({ message }: TimeoutError, cause?: Error): TimeoutError {
  const [, time = ""] = /within (\d+) ms$/.exec(message) ?? [];
  return new TimeoutError(`Cannot send secret: the enclave does not listen on that port within ${time} ms`, {
    stage: "connect",
    hint: "Does the enclave run, is its CID right, and does it declare a secret on that port?",
    cause,
  });
}
