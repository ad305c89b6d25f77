import { checkHostName, kmsHostName } from "../lib/aws/region.ts";
import { checkFields, checkInteger, checkOneOf } from "../lib/core/checks.ts";
import { MAX_TIMEOUT_MS } from "../lib/core/deadline.ts";
import { PARENT_CID } from "../lib/core/endpoint.ts";
import {
  type Bridge,
  BRIDGE_FIELDS,
  type BridgeCounters,
  type BridgeOptions,
  openBridge,
} from "../lib/transport/bridge.ts";
import { vsockToListen } from "../lib/transport/vsock_place.ts";
import { type AllowedHost, AllowList } from "./allow_list.ts";
import { Dialer } from "./dialer.ts";
import { IP_FAMILIES, type IpFamily, type Lookup, NameResolver } from "./name_resolver.ts";

/** Vsock ports that enclaves look for KMS on. */
const DEFAULT_PORTS: readonly number[] = [5000, 8000];

const HTTPS_PORT = 443;

/** Destination and limits of a {@link KmsProxy}. One of `region` and `host` must be given. */
export interface KmsProxyOptions extends BridgeOptions {
  /** Region whose KMS is the destination, such as `eu-central-1`. */
  readonly region?: string | undefined;
  /** Vsock ports to listen on, each from 1 to 2^32 - 2. Default: 5000 and 8000. */
  readonly ports?: readonly number[] | undefined;
  /** Host to connect to, such as the name of a VPC endpoint. Default: `kms.<region>.amazonaws.com`. */
  readonly host?: string | undefined;
  /** TCP port to connect to. Default: 443. */
  readonly port?: number | undefined;
  /** Hosts that are allowed, of which `host` must be one. Default: `host` alone, if it is a DNS name. */
  readonly allow?: readonly AllowedHost[] | undefined;
  /** IP version. Default: `any`. */
  readonly family?: IpFamily | undefined;
  /** Milliseconds for each address that is tried, 10 to 2147483647. Default: 3000. */
  readonly tryTimeoutMs?: number | undefined;
  /** Folder in which unix sockets stand for vsock, on a laptop. Default: vsock itself. */
  readonly simulationFolder?: string | undefined;
  /** Finds the addresses of a name. Default: the system's resolver. */
  readonly lookup?: Lookup | undefined;
}

/**
 * Proxy between enclaves and KMS: takes each vsock connection to one host, byte for byte. TLS ends in the enclave and at
 * KMS, so the proxy sees ciphertext only.
 *
 * It stays up whatever fails: a name that is not resolved keeps its last addresses, an address that does not answer is
 * followed by the next, and connections have no limit of four. The name never leads to the instance's metadata service
 * or, but for `localhost`, to this machine, whatever name servers say.
 *
 * Not guaranteed: which enclave calls. Every enclave of this instance, and every process on it, reaches the vsock ports.
 *
 * @example
 * ```ts
 * import { KmsProxy } from "enclave-kms/parent";
 * import { mkdtempSync } from "node:fs";
 *
 * const simulationFolder = mkdtempSync("/tmp/enclave-kms-"); // on an instance: leave it out
 * await using proxy = await KmsProxy.open({ region: "eu-central-1", simulationFolder });
 * proxy.host; // "kms.eu-central-1.amazonaws.com"
 * proxy.bridges.length; // 2
 * ```
 */
export class KmsProxy implements AsyncDisposable {
  /** Host that it connects to. */
  readonly host: string;
  /** One bridge for each vsock port, in the order of the ports. */
  readonly bridges: readonly Bridge[];

  private constructor(host: string, bridges: readonly Bridge[]) {
    this.host = host;
    this.bridges = bridges;
  }

  /**
   * Opens the proxy on all of its ports, or on none.
   *
   * @param options Destination and limits
   * @returns The proxy. Dispose it with `await using`, or close it
   * @throws {TypeError} When an option is unknown or of a wrong type, or the host is not on the allow-list
   * @throws {RangeError} When a number is out of range, or a port is given twice
   * @throws {ConnectionError} When a vsock port is taken, or there is no vsock in this kernel
   * @throws {LibraryLoadError} On Node, when libc cannot be called for vsock
   */
  static async open(options: KmsProxyOptions): Promise<KmsProxy> {
    const { host, port, ports, dialer, simulationFolder, limits } = checkOptions(options);
    const bridges: Bridge[] = [];
    try {
      for (const from of ports) {
        const address = await vsockToListen(PARENT_CID, from, simulationFolder);
        bridges.push(await openBridge(address, (_, signal) => dialer.dial(host, port, signal), limits));
      }
    } catch (error) {
      await Promise.all(bridges.map((bridge) => bridge[Symbol.asyncDispose]()));
      throw error;
    }
    return new KmsProxy(host, bridges);
  }

  /** Counts of all bridges together. */
  get counters(): BridgeCounters {
    const all = this.bridges.map(({ counters }) => Object.entries(counters));
    const sums: Record<string, number> = {};
    for (const [name, count] of all.flat()) sums[name] = (sums[name] ?? 0) + count;
    return sums as unknown as BridgeCounters;
  }

  /**
   * Accepts no more, lets open connections end, and breaks off those that are left after the grace period.
   *
   * @param options `graceMs`: milliseconds, 0 to 2147483647. Default: 10000
   */
  async close(options: { readonly graceMs?: number | undefined } = {}): Promise<void> {
    await Promise.all(this.bridges.map((bridge) => bridge.close(options)));
  }

  /** Accepts no more, and breaks every connection off at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.bridges.map((bridge) => bridge[Symbol.asyncDispose]()));
  }
}

const OWN_FIELDS = [
  "region",
  "ports",
  "host",
  "port",
  "allow",
  "family",
  "tryTimeoutMs",
  "simulationFolder",
  "lookup",
];

function checkOptions(given: KmsProxyOptions) {
  const { region, ports, host, port, allow, family, tryTimeoutMs, simulationFolder, lookup, ...limits } =
    checkFields(
      "KMS proxy options",
      given,
      [...OWN_FIELDS, ...BRIDGE_FIELDS],
    );
  const to = checkInteger("port", port, { min: 1, max: 65_535, default: HTTPS_PORT });
  const name = host ?? (region === undefined ? undefined : kmsHostName(region));
  if (name === undefined) throw new TypeError("Give region, or host");
  if (lookup !== undefined && typeof lookup !== "function") throw new TypeError("lookup must be a function");
  const allowed = new AllowList(allow ?? [{ name: checkHostName(name), port: to }]);
  if (!allowed.has(name, to)) {
    throw new TypeError(
      `The proxy must not connect to ${JSON.stringify(name)} port ${to}: it is not on the allow-list`,
    );
  }
  const range = { min: 10, max: MAX_TIMEOUT_MS, default: 3000 };
  checkOneOf("family", family, IP_FAMILIES);
  const dialer = new Dialer(
    new NameResolver({ family, lookup, allowsLoopback: simulationFolder !== undefined }),
    checkInteger("tryTimeoutMs", tryTimeoutMs, range),
  );
  return {
    host: name,
    port: to,
    ports: checkPorts(ports ?? DEFAULT_PORTS),
    dialer,
    simulationFolder,
    limits,
  };
}

function checkPorts(ports: readonly number[]): readonly number[] {
  if (!Array.isArray(ports) || ports.length === 0) {
    throw new TypeError("ports must be an array with at least one port");
  }
  for (const port of ports) checkInteger("ports", port, { min: 1, max: 0xffff_fffe });
  if (new Set(ports).size < ports.length) throw new RangeError("ports must not name a port twice");
  return ports;
}
