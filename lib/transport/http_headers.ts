/**
 * Headers between node:http and fetch.
 *
 * @module
 */

/** Header lines of a message, at most. Deno needs a second for headers of 2500, and a millisecond for 100. */
export const MAX_HEADER_LINES = 100;

/**
 * Tells whether a message has more header lines than this side reads.
 *
 * @param rawHeaders Names and values in turns, as `IncomingMessage.rawHeaders` has them
 */
export function hasTooManyLines(rawHeaders: readonly string[]): boolean {
  return rawHeaders.length > 2 * MAX_HEADER_LINES;
}

/**
 * Reads the headers of a message that node:http has received.
 *
 * @param rawHeaders Names and values in turns, as `IncomingMessage.rawHeaders` has them
 * @returns All of them, in fetch's form
 * @throws {TypeError} When a name or a value is none that fetch knows
 */
export function readHeaders(rawHeaders: readonly string[]): Headers {
  const headers = new Headers();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    headers.append(rawHeaders[index] ?? "", rawHeaders[index + 1] ?? "");
  }
  return headers;
}

/**
 * Lists the headers of an answer as node:http takes them.
 *
 * @param answer The answer
 * @returns Values by name; `set-cookie` is a list, for its values may not be joined
 */
export function listHeaders({ headers }: Response): Record<string, string | string[]> {
  const all: Record<string, string | string[]> = Object.fromEntries(headers);
  if ("set-cookie" in all) all["set-cookie"] = headers.getSetCookie();
  return all;
}
