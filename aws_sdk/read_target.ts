import { checkHostName } from "../lib/aws/region.ts";
import { readLength } from "./content_length.ts";
import type { SdkRequest } from "./sdk_types.ts";

/** Request as it is sent, but for the body. */
export interface Target {
  /** Name of the service: of its certificate, too. */
  readonly hostName: string;
  /** HTTP method. */
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** Headers by their names in lowercase, without those of the connection. */
  readonly headers: Record<string, string>;
  /** Bytes of the body, where a header says it. */
  readonly length: number | undefined;
}

/** Headers of the connection, and of proxies, which are not passed on. */
const NOT_PASSED = /^(?:connection|expect|keep-alive|te|trailer|upgrade|proxy-.*)$/;
const HTTPS_PORT = 443;

/**
 * Reads a request of an SDK client. Its path is not normalised: a key of S3 may hold `..`.
 *
 * @param request The request
 * @param isRelayed Whether a relay chooses the port by the name
 * @throws {TypeError} When it cannot be sent: without TLS, to an IP address, or with characters that HTTP does not have
 */
export function readTarget(request: SdkRequest, isRelayed: boolean): Target {
  const { method, protocol, hostname, port, path, query } = request;
  if (protocol !== "https:") throw refused("it is not https:, and would be sent unencrypted");
  const hostName = checkHostName(hostname);
  if (isRelayed && port !== undefined && port !== HTTPS_PORT) {
    throw refused(`the relay leads to port ${HTTPS_PORT}: give the endpoint of another port as \`endpoint\``);
  }
  if (hasUser(request)) throw refused("its URL has a user name or a password");
  if (!/^[A-Z]{1,16}$/.test(method)) throw refused("its method is malformed");
  const text = encodeQuery(query ?? {});
  const whole = `${path === "" ? "/" : path}${text === "" ? "" : `?${text}`}`;
  if (!/^\/[!-~]*$/.test(whole)) throw refused("its path is malformed");
  const headers = readHeaders(request, hostName);
  return { hostName, method, path: whole, headers, length: declaredLength(headers) };
}

function hasUser(request: SdkRequest): boolean {
  const { username, password } = request as { readonly username?: unknown; readonly password?: unknown };
  return (username ?? password) !== undefined;
}

function readHeaders({ headers }: SdkRequest, hostName: string): Record<string, string> {
  const read = Object.assign(Object.create(null) as Record<string, string>, { host: hostName });
  for (const [name, value] of Object.entries(headers)) {
    const key = name.toLowerCase();
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(key) || /[\0\r\n]/.test(value)) {
      throw refused("a header is malformed");
    }
    if (!NOT_PASSED.test(key)) read[key] = String(value);
  }
  return read;
}

/** Reads the length of the body, of which a request has one at most: the service could believe the other. */
function declaredLength(headers: Readonly<Record<string, string>>): number | undefined {
  const { "content-length": text, "transfer-encoding": coding } = headers;
  if (coding !== undefined && coding !== "chunked") throw refused("its transfer-encoding is not chunked");
  if (text === undefined) return undefined;
  if (coding !== undefined) throw refused("it has content-length beside transfer-encoding");
  const length = readLength(text);
  if (length === undefined) throw refused("its content-length is not a number");
  return length;
}

/** Encodes a query as the SDK does, and as it is signed. */
function encodeQuery(query: NonNullable<SdkRequest["query"]>): string {
  return Object.entries(query).toSorted(([one], [other]) => one < other ? -1 : 1).flatMap(([name, value]) => {
    const key = escapeUri(name);
    if (value === null) return [key];
    return [value].flat().map((part) => `${key}=${escapeUri(part)}`);
  }).join("&");
}

function escapeUri(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function refused(why: string): TypeError {
  return new TypeError(`Cannot send the request: ${why}`);
}
