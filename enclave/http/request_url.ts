import type { RequestHead } from "./request_head.ts";

/** Host of all URLs: the caller's own word may not decide what an application takes for its address. */
const ORIGIN = "http://enclave";

/** Methods that `Request` refuses. */
const REFUSED_METHODS: readonly string[] = ["CONNECT", "TRACE", "TRACK"];

/** Target that is a URL's path and query as it is: nothing in it is escaped or removed by URL's parser. */
const PLAIN_TARGET = /^\/[!$&(-;=?-[\]_a-z~]*$/;

/** Segments that URL's parser removes. */
const DOT_SEGMENT = /\/\.\.?(?:[/?]|$)/;

/**
 * Makes the URL of a request.
 *
 * @param head Head of the request
 * @returns The URL, of one host whatever the caller says; undefined when its method or its target is not one that fetch()
 *   knows
 */
export function urlOf({ method, target }: RequestHead): string | undefined {
  if (REFUSED_METHODS.includes(method)) return undefined;
  if (PLAIN_TARGET.test(target) && !DOT_SEGMENT.test(target)) return ORIGIN + target;
  // A fragment is no part of a target: one reader would remove it, and another take it for a piece of the path.
  if (!target.startsWith("/") || target.includes("#") || /^[^?]*\\/.test(target)) return undefined;
  return URL.canParse(ORIGIN + target) ? new URL(ORIGIN + target).href : undefined;
}
