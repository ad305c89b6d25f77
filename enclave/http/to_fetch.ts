import type { Buffer } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";

/**
 * Answers a request as node:http has it, with the body that was read before.
 *
 * @returns False when there is no `Request` to make of it: its method or its target is not one that fetch() knows
 */
export type FetchListener = (
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  body: Buffer | undefined,
) => Promise<boolean>;

/** Sends the whole answer to a request. */
type Respond = (request: Request, incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void>;

/** Host of all URLs: the caller's own word may not decide what an application takes for its address. */
const HOST = "enclave";

/** Methods that `Request` refuses. */
const REFUSED_METHODS = /^(?:CONNECT|TRACE|TRACK)$/;

/**
 * Makes fetch's requests out of node:http's, by `@hono/node-server`. Its requests look up headers and decode the body
 * when they are asked for; the runtime's own `Request` and `Headers` cost more than the rest of a request.
 *
 * The answer goes another way than that package sends one: it writes errors to the console and their messages to the
 * caller, and it does not wipe what it sent.
 *
 * @param respond Sends the answer
 */
export function toFetchListener(respond: Respond): FetchListener {
  return async (incoming, outgoing, body) => {
    if (!incoming.url?.startsWith("/") || REFUSED_METHODS.test(incoming.method ?? "")) return false;
    incoming.headers.host = HOST;
    // The package takes a body that is there already from this field.
    if (body !== undefined) Object.assign(incoming, { rawBody: body });
    let [isTaken, failure]: [boolean, unknown] = [false, undefined];
    const listener = getRequestListener(async (request) => {
      isTaken = true;
      try {
        await respond(request, incoming, outgoing);
      } catch (error) {
        failure = error;
      }
      return RESPONSE_ALREADY_SENT;
    }, { overrideGlobalObjects: false, errorHandler: () => {} });
    await listener(incoming, outgoing);
    if (failure !== undefined) throw failure;
    return isTaken;
  };
}
