import { checkFields, checkInteger, checkOneOf } from "../lib/core/checks.ts";
import { Deadline, MAX_TIMEOUT_MS } from "../lib/core/deadline.ts";
import { PARENT_CID } from "../lib/core/endpoint.ts";
import { PolicyDeniedError } from "../lib/core/errors.ts";
import { Bridge, BRIDGE_FIELDS, type BridgeOptions, openBridgeParts } from "../lib/transport/bridge.ts";
import type { OpenTarget } from "../lib/transport/bridge_traffic.ts";
import { vsockToListen } from "../lib/transport/vsock_place.ts";
import { AllowList } from "./allow_list.ts";
import { Dialer } from "./dialer.ts";
import { IP_FAMILIES, type IpFamily, type Lookup, NameResolver } from "./name_resolver.ts";
import { readClientName } from "./read_client_name.ts";

const HTTPS_PORT = 443;

/** Port, hosts and limits of a {@link TlsRelay}. `port` and `allow` must be given. */
export interface TlsRelayOptions extends BridgeOptions {
  /** Vsock port to listen on, 1 to 2^32 - 2. */
  readonly port: number;
  /** Names that may be connected to: exact DNS names, or `*.s3.<region>.amazonaws.com`, a star for one label. */
  readonly allow: readonly string[];
  /** TCP port to connect to, 1 to 65535. Default: 443. */
  readonly targetPort?: number | undefined;
  /** Milliseconds from the accept to the end of the ClientHello, 10 to 2147483647. Default: 5000. */
  readonly helloTimeoutMs?: number | undefined;
  /** Milliseconds for each address that is tried, 10 to 2147483647. Default: 3000. */
  readonly tryTimeoutMs?: number | undefined;
  /** IP version. Default: `any`. */
  readonly family?: IpFamily | undefined;
  /** Folder in which unix sockets stand for vsock, on a laptop. Default: vsock itself. */
  readonly simulationFolder?: string | undefined;
  /** Finds the addresses of a name. Default: the system's resolver. */
  readonly lookup?: Lookup | undefined;
}

/**
 * Relay between enclaves and services with many host names, such as S3, STS and Secrets Manager: reads the name in the
 * ClientHello of each connection, and takes the connection to that name's port 443, byte for byte, if the allow-list has
 * the name. A bucket's connections go to S3 of its region, which serves every bucket there. TLS ends in the enclave and
 * at the service.
 *
 * No name leads to the instance's metadata service or, but for `localhost`, to this machine, whatever name servers say.
 *
 * Not guaranteed: that the service answers as the name in the ClientHello. The enclave checks its certificate.
 */
export class TlsRelay extends Bridge {
  /**
   * Opens the relay.
   *
   * @param options Port, hosts and limits
   * @returns The relay. Dispose it with `await using`, or close it
   * @throws {TypeError} When an option is unknown or of a wrong type, or a name of the allow-list is malformed
   * @throws {RangeError} When a number is out of range
   * @throws {ConnectionError} When the vsock port is taken, or there is no vsock in this kernel
   * @throws {LibraryLoadError} On Node, when libc cannot be called for vsock
   */
  static async open(options: TlsRelayOptions): Promise<TlsRelay> {
    const {
      port,
      allow,
      targetPort,
      helloTimeoutMs,
      tryTimeoutMs,
      family,
      simulationFolder,
      lookup,
      ...limits
    } = checkFields("TLS relay options", options, [...OWN_FIELDS, ...BRIDGE_FIELDS]);
    if (!Array.isArray(allow)) throw new TypeError("allow must be an array of names");
    const to = checkInteger("targetPort", targetPort, { min: 1, max: 65_535, default: HTTPS_PORT });
    const timeout = (name: string, value: unknown, standard: number) =>
      checkInteger(name, value, { min: 10, max: MAX_TIMEOUT_MS, default: standard });
    checkOneOf("family", family, IP_FAMILIES);
    if (lookup !== undefined && typeof lookup !== "function") {
      throw new TypeError("lookup must be a function");
    }
    const route = routeByName({
      allowed: new AllowList(allow.map((name: string) => ({ name, port: to }))),
      dialer: new Dialer(
        new NameResolver({ family, lookup, allowsLoopback: simulationFolder !== undefined }),
        timeout("tryTimeoutMs", tryTimeoutMs, 3000),
      ),
      port: to,
      helloTimeoutMs: timeout("helloTimeoutMs", helloTimeoutMs, 5000),
    });
    const from = checkInteger("port", port, { min: 1, max: 0xffff_fffe });
    return new TlsRelay(
      await openBridgeParts(await vsockToListen(PARENT_CID, from, simulationFolder), route, limits),
    );
  }
}

const OWN_FIELDS = [
  "port",
  "allow",
  "targetPort",
  "helloTimeoutMs",
  "tryTimeoutMs",
  "family",
  "simulationFolder",
  "lookup",
];

interface RouteParts {
  readonly allowed: AllowList;
  readonly dialer: Dialer;
  readonly port: number;
  readonly helloTimeoutMs: number;
}

function routeByName({ allowed, dialer, port, helloTimeoutMs }: RouteParts): OpenTarget {
  return async ({ stream }, signal) => {
    using deadline = new Deadline("read the ClientHello", helloTimeoutMs, signal, "tls");
    const name = await deadline.race(readClientName(stream));
    const host = allowed.find(name, port);
    if (host === undefined) {
      throw new PolicyDeniedError(`Cannot relay to ${name}: it is not on the allow-list`, {
        hint: "Is that name wanted? Then add it to `allow`",
      });
    }
    return await dialer.dial(host, port, signal);
  };
}
