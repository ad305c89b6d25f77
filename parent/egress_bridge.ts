import { checkFields, checkInteger, checkText } from "../lib/core/checks.ts";
import { PARENT_CID } from "../lib/core/endpoint.ts";
import { Bridge, BRIDGE_FIELDS, type BridgeOptions, openBridgeParts } from "../lib/transport/bridge.ts";
import { checkBridgedPort, DEFAULT_EGRESS_PORT } from "../lib/transport/enclave_ports.ts";
import { vsockToListen } from "../lib/transport/vsock_place.ts";

/** Ends and limits of an {@link EgressBridge}; all have defaults. */
export interface EgressBridgeOptions extends BridgeOptions {
  /** Vsock port of the parent, 1 to 2^32 - 2. Default: 8080. */
  readonly port?: number | undefined;
  /** Host to connect to, as the parent sees it. Default: `127.0.0.1`. */
  readonly targetHost?: string | undefined;
  /** TCP port to connect to, 1 to 65535. Default: 8080. */
  readonly targetPort?: number | undefined;
  /** Folder in which unix sockets stand for vsock, on a laptop. Default: vsock itself. */
  readonly simulationFolder?: string | undefined;
}

/**
 * Parent's half of a bridge out of the enclave: from a vsock port of the parent to a TCP port. In the enclave
 * `openEgress` of `enclave-kms/enclave` leads a port of 127.0.0.1 here.
 *
 * Not guaranteed: which enclave calls. Every enclave of this instance, and every process on it, reaches the vsock port.
 */
export class EgressBridge extends Bridge {
  /**
   * Opens the bridge.
   *
   * @param options Ends and limits
   * @returns The bridge. Dispose it with `await using`, or close it
   * @throws {TypeError} When an option is unknown or of a wrong type
   * @throws {RangeError} When a number is out of range, or the vsock port is 7099 to 7102
   * @throws {ConnectionError} When the vsock port is taken, or there is no vsock in this kernel
   * @throws {LibraryLoadError} On Node, when libc cannot be called for vsock
   */
  static async open(options: EgressBridgeOptions = {}): Promise<EgressBridge> {
    const { port, targetHost, targetPort, simulationFolder, ...limits } = checkFields(
      "egress options",
      options,
      FIELDS,
    );
    const target = {
      transport: "tcp",
      host: targetHost === undefined ? "127.0.0.1" : checkText("targetHost", targetHost, 253),
      port: checkInteger("targetPort", targetPort, { min: 1, max: 65_535, default: DEFAULT_EGRESS_PORT }),
    } as const;
    const from = checkBridgedPort("port", port ?? DEFAULT_EGRESS_PORT, undefined);
    const address = await vsockToListen(PARENT_CID, from, simulationFolder);
    return new EgressBridge(await openBridgeParts(address, target, limits));
  }
}

const FIELDS = ["port", "targetHost", "targetPort", "simulationFolder", ...BRIDGE_FIELDS];
