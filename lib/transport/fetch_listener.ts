import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { clearTimeout, setTimeout } from "node:timers";
import { ConnectionError } from "../core/errors.ts";
import { byteStream } from "./byte_stream.ts";
import { hasTooManyLines, readHeaders } from "./http_headers.ts";
import { sendResponse } from "./send_response.ts";
import type { ServeHandler, ServeInfo } from "./serve_handler.ts";

/** Parts of a {@link fetchListener}. */
export interface FetchListenerParts {
  /** Answers requests. */
  readonly handler: ServeHandler;
  /** Makes the answer when the handler throws. */
  readonly onError: (error: unknown) => Response | Promise<Response>;
  /** Largest body of a request, in bytes. */
  readonly maxBodyBytes: number;
  /** Finds the peer behind a connection. */
  readonly infoOf: (connection: Duplex) => ServeInfo;
}

/** Requests on one connection that may wait for their answers; one more ends the connection. */
const MAX_PIPELINED = 16;

/** Milliseconds for the rest of an unread body after the answer. */
const DISCARD_MS = 1000;

/** Requests of one connection, which take turns. */
interface Line {
  waiting: number;
  turn: Promise<void>;
}

/**
 * Makes a listener of node:http out of a fetch handler.
 *
 * @param parts Handler, limits, and the way to the peer's CID
 */
export function fetchListener(parts: FetchListenerParts): RequestListener {
  const lines = new WeakMap<Duplex, Line>();
  return (incoming, outgoing) => {
    const { socket } = incoming;
    const line = lines.get(socket) ?? { waiting: 0, turn: Promise.resolve() };
    lines.set(socket, line);
    if (++line.waiting > MAX_PIPELINED) return void socket.destroy();
    line.turn = line.turn.then(async () => {
      await answer(parts, incoming, outgoing);
      line.waiting--;
    });
  };
}

async function answer(
  parts: FetchListenerParts,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  if (outgoing.destroyed || incoming.socket.destroyed) return;
  const caller = new AbortController();
  const leave = () => {
    if (!outgoing.writableFinished) caller.abort(callerGone());
  };
  outgoing.once("close", leave);
  incoming.socket.once("close", leave);
  try {
    await sendResponse(await respond(parts, incoming, caller.signal), outgoing);
  } finally {
    incoming.socket.off("close", leave);
    discard(incoming);
  }
}

async function respond(
  { handler, onError, infoOf, maxBodyBytes }: FetchListenerParts,
  incoming: IncomingMessage,
  signal: AbortSignal,
): Promise<Response> {
  if (hasTooManyLines(incoming.rawHeaders)) return empty(431);
  if (Number(incoming.headers["content-length"] ?? 0) > maxBodyBytes) return empty(413);
  let isTooLarge = false;
  const tooLarge = () => {
    isTooLarge = true;
    return new RangeError(`The request's body has more than ${maxBodyBytes} bytes`);
  };
  let request: Request;
  try {
    request = translate(incoming, { maxBytes: maxBodyBytes, tooLarge, signal });
  } catch {
    return empty(400);
  }
  try {
    return checkResponse(await handler(request, infoOf(incoming.socket)));
  } catch (error) {
    if (isTooLarge) return empty(413);
    return await Promise.resolve(error).then(onError).then(checkResponse).catch(() => empty(500));
  }
}

function translate(
  incoming: IncomingMessage,
  { maxBytes, tooLarge, signal }: { maxBytes: number; tooLarge: () => Error; signal: AbortSignal },
): Request {
  const { method = "", url = "", rawHeaders } = incoming;
  if (!url.startsWith("/")) throw new TypeError("The target must be a path");
  const init: RequestInit & { duplex?: "half" } = { method, headers: readHeaders(rawHeaders), signal };
  if (method !== "GET" && method !== "HEAD") {
    init.body = byteStream(incoming, { maxBytes, tooLarge, broken: callerGone, signal });
    init.duplex = "half";
  }
  // No host that a caller names gets into the URL.
  return new Request(`http://enclave${url}`, init);
}

function checkResponse(answer: Response): Response {
  if (answer instanceof Response) return answer;
  throw new TypeError("A handler must answer with a Response");
}

/**
 * Lets node:http throw away what the handler did not read, for a while: closing on unread bytes would take the answer
 * along.
 */
function discard(incoming: IncomingMessage): void {
  if (incoming.complete || incoming.destroyed) return;
  // The end may have come unseen: then the connection serves other requests by now.
  const timer = setTimeout(() => {
    if (!incoming.complete) incoming.socket.destroy();
  }, DISCARD_MS);
  for (const event of ["end", "close"]) incoming.once(event, () => clearTimeout(timer));
  incoming.resume();
}

function empty(status: number): Response {
  return new Response(null, { status });
}

function callerGone(): ConnectionError {
  return new ConnectionError("Cannot answer: the caller ended the connection", {
    hint: "Did the caller give up waiting?",
  });
}
