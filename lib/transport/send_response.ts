import type { ServerResponse } from "node:http";
import { clearImmediate, setImmediate } from "node:timers";
import { listHeaders } from "./http_headers.ts";
import { untilWritable } from "./until_writable.ts";

/**
 * Sends an answer at the pace of the peer. When the peer goes away, the body is cancelled; when the body fails, the
 * connection is cut, so that the peer sees that the answer is not whole.
 *
 * @param answer Answer whose body nobody has read
 * @param outgoing Message of node:http that carries it
 */
export async function sendResponse(answer: Response, outgoing: ServerResponse): Promise<void> {
  const reader = answer.body?.getReader();
  const cancel = () => void reader?.cancel().catch(() => {});
  if (outgoing.destroyed) return cancel();
  outgoing.once("close", cancel);
  try {
    outgoing.writeHead(answer.status, listHeaders(answer));
    // A body may be long in coming. One that is at hand goes out in one piece with the headers.
    const flushing = setImmediate(() => outgoing.flushHeaders());
    const first = reader?.read();
    void first?.finally(() => clearImmediate(flushing)).catch(() => {});
    if (first === undefined) clearImmediate(flushing);
    for (let next = await first; next?.done === false; next = await reader?.read()) {
      if (!outgoing.write(next.value)) await untilWritable(outgoing);
    }
    outgoing.end();
  } catch {
    cancel();
    outgoing.destroy();
    outgoing.socket?.destroy();
  }
}
