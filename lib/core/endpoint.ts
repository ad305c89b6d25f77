import { checkFields, checkInteger, checkOneOf, checkText } from "./checks.ts";

/** CID of the parent instance, as every Nitro Enclave sees it. */
export const PARENT_CID = 3;

/** Vsock port on which the proxy to KMS listens on the parent. */
export const KMS_PROXY_PORT = 8000;

/** Vsock address. */
export interface VsockEndpoint {
  /** Transport over AF_VSOCK: the way out of an enclave. */
  readonly transport: "vsock";
  /** Context id of the peer, 0 to 2^32 - 1. The parent is {@link PARENT_CID}. */
  readonly cid: number;
  /** Port, 0 to 2^32 - 1. */
  readonly port: number;
}

/** TCP address, for development and simulators. */
export interface TcpEndpoint {
  /** Transport over TCP. */
  readonly transport: "tcp";
  /** Host name or IP address to connect to. TLS still checks the KMS host name. */
  readonly host: string;
  /** Port, 1 to 65535. */
  readonly port: number;
}

/** Address of a unix domain socket, for a proxy on the same machine. */
export interface UnixEndpoint {
  /** Transport over a unix domain stream socket. */
  readonly transport: "unix";
  /** Path of the socket, at most 107 bytes. */
  readonly path: string;
}

/** Address that the connection to KMS goes to. TLS runs over it, end to end with KMS. */
export type Endpoint = VsockEndpoint | TcpEndpoint | UnixEndpoint;

/** Address of the proxy to KMS on the parent: vsock CID 3, port 8000. */
export const DEFAULT_KMS_ENDPOINT: VsockEndpoint = {
  transport: "vsock",
  cid: PARENT_CID,
  port: KMS_PROXY_PORT,
};

/** Expectation, for messages: a text as in settings is the likeliest mistake. */
const SHAPE = 'an object, such as { transport: "tcp", host: "127.0.0.1", port: 8443 }';

/**
 * Reads an endpoint as it is written in settings and flags: `vsock:CID:PORT`, `tcp:HOST:PORT` (an IPv6
 * address in brackets) or `unix:PATH`.
 *
 * @param text The text
 * @param lowestPort Lowest TCP port: 1 to connect, 0 (any free one) to listen
 * @returns The endpoint; undefined when it is none, or a number is out of range
 */
export function parseEndpoint(text: string, lowestPort: 0 | 1 = 1): Endpoint | undefined {
  const [, cid, vsockPort] = /^vsock:(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  if (cid !== undefined) {
    const [cidNumber, port] = [Number(cid), Number(vsockPort)];
    return Math.max(cidNumber, port) > 0xffff_ffff ? undefined : { transport: "vsock", cid: cidNumber, port };
  }
  const path = /^unix:(.{1,107})$/.exec(text)?.[1];
  if (path !== undefined) return { transport: "unix", path };
  const [, host, port] = /^tcp:([^\s:]{1,253}|\[[0-9a-f:]+\]):(\d{1,5})$/i.exec(text) ?? [];
  if (host === undefined || !(Number(port) >= lowestPort && Number(port) <= 65_535)) return undefined;
  return { transport: "tcp", host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}

/**
 * Checks an endpoint that a caller gave as an object.
 *
 * @param endpoint Any value
 * @param lowestPort Lowest TCP port: 1 to connect, 0 (any free one) to listen
 * @returns A copy with the fields of its transport only
 * @throws {TypeError} When it is no object, or a field is unknown or of a wrong type
 * @throws {RangeError} When a number is out of range, or a text is too long
 */
export function checkEndpoint(endpoint: unknown, lowestPort: 0 | 1 = 1): Endpoint {
  if (typeof endpoint !== "object" || endpoint === null) throw new TypeError(`The endpoint must be ${SHAPE}`);
  const fields = checkFields("endpoint", endpoint as Readonly<Record<string, unknown>>, [
    "transport",
    "cid",
    "port",
    "host",
    "path",
  ]);
  switch (checkOneOf("endpoint.transport", fields["transport"], ["vsock", "tcp", "unix"])) {
    case "vsock":
      return {
        transport: "vsock",
        cid: checkInteger("endpoint.cid", fields["cid"], { min: 0, max: 2 ** 32 - 1 }),
        port: checkInteger("endpoint.port", fields["port"], { min: 0, max: 2 ** 32 - 1 }),
      };
    case "tcp":
      return {
        transport: "tcp",
        host: checkText("endpoint.host", fields["host"], 253),
        port: checkInteger("endpoint.port", fields["port"], { min: lowestPort, max: 65_535 }),
      };
    case "unix":
      return { transport: "unix", path: checkUnixPath(fields["path"]) };
    default:
      throw new TypeError("endpoint.transport must be one of vsock, tcp, unix");
  }
}

function checkUnixPath(path: unknown): string {
  const text = checkText("endpoint.path", path, 107);
  if (new TextEncoder().encode(text).length <= 107) return text;
  throw new RangeError("endpoint.path must have at most 107 bytes");
}
