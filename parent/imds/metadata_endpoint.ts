import { isIP } from "node:net";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import type { Environment } from "../kms_proxy_settings.ts";

/** Endpoint of the metadata service over IPv4. */
const IPV4_ENDPOINT = "http://169.254.169.254";

/** Endpoint over IPv6, on instances of Nitro whose metadata options allow it. */
const IPV6_ENDPOINT = "http://[fd00:ec2::254]";

/**
 * Finds the address of the metadata service: the given endpoint, `AWS_EC2_METADATA_SERVICE_ENDPOINT`, or the one of
 * `AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE` (`IPv4` or `IPv6`).
 *
 * @param endpoint Endpoint that a caller gave, which comes first
 * @param env Environment
 * @throws {TypeError} When it is no URL of HTTP on a link-local, unique local IPv6 or loopback address: the credentials
 *   would cross a network in the clear
 */
export function readMetadataEndpoint(endpoint: string | undefined, env: Environment): TcpEndpoint {
  if (endpoint !== undefined) return parse("endpoint", endpoint);
  const fromEnvironment = env["AWS_EC2_METADATA_SERVICE_ENDPOINT"];
  if (fromEnvironment !== undefined && fromEnvironment !== "") {
    return parse("AWS_EC2_METADATA_SERVICE_ENDPOINT", fromEnvironment);
  }
  const mode = env["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"] || "IPv4";
  if (!/^ipv[46]$/i.test(mode)) {
    throw new TypeError("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE must be IPv4 or IPv6");
  }
  return parse("endpoint", mode.endsWith("6") ? IPV6_ENDPOINT : IPV4_ENDPOINT);
}

/**
 * Tells whether the environment switches the metadata service off.
 *
 * @param env Environment
 */
export function isMetadataOff(env: Environment): boolean {
  return (env["AWS_EC2_METADATA_DISABLED"] ?? "").toLowerCase() === "true";
}

function parse(name: string, text: string): TcpEndpoint {
  const url = typeof text === "string" && URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:") throw new TypeError(`${name} must be a URL such as ${IPV4_ENDPOINT}`);
  const { username, password, pathname, search, hash, hostname, port } = url;
  if (`${username}${password}${search}${hash}` !== "" || pathname !== "/") {
    throw new TypeError(`${name} must have a host and a port only`);
  }
  const host = hostname.replace(/^\[|\]$/g, "");
  if (!isNear(host)) {
    throw new TypeError(
      `${name} must be on a loopback or link-local address: the credentials come in the clear`,
    );
  }
  return { transport: "tcp", host: host === "localhost" ? "127.0.0.1" : host, port: Number(port || 80) };
}

/** Tells whether an address is of this machine, or of the link that its instance has with its host. */
function isNear(host: string): boolean {
  switch (isIP(host)) {
    case 4:
      return host.startsWith("127.") || host.startsWith("169.254.");
    case 6:
      return host === "::1" || /^fe[89ab][0-9a-f]:/.test(host) || /^f[cd][0-9a-f]{2}:/.test(host);
    default:
      return host === "localhost";
  }
}
