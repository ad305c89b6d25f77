import { checkFields, checkInteger, checkText } from "../lib/core/checks.ts";
import { Bridge, BRIDGE_FIELDS, type BridgeOptions, openBridgeParts } from "../lib/transport/bridge.ts";
import { checkBridgedPort, DEFAULT_INGRESS_PORT, ENCLAVE_CIDS } from "../lib/transport/enclave_ports.ts";
import { vsockToConnect } from "../lib/transport/vsock_place.ts";

/** Ends and limits of an {@link IngressBridge}. `enclaveCid` must be given. */
export interface IngressBridgeOptions extends BridgeOptions {
  /** CID of the enclave, 4 to 2^32 - 2. */
  readonly enclaveCid: number;
  /** Vsock port of the enclave, 1 to 2^32 - 2. Default: 50051. */
  readonly enclavePort?: number | undefined;
  /** Address of the parent to listen on. Default: `127.0.0.1`; `0.0.0.0` lets other machines in. */
  readonly host?: string | undefined;
  /** TCP port of the parent, 0 (any free one) to 65535. Default: 50051. */
  readonly port?: number | undefined;
  /** Vsock port of the enclave's control listener, which no bridge may reach; 0 for none. Default: 7099. */
  readonly controlPort?: number | undefined;
  /** Vsock ports besides 7100 to 7102 on which the enclave takes secrets, which no bridge may reach. Default: none. */
  readonly secretPorts?: readonly number[] | undefined;
  /** Folder in which unix sockets stand for vsock, on a laptop. Default: vsock itself. */
  readonly simulationFolder?: string | undefined;
}

/**
 * Parent's half of a bridge into the enclave: from a TCP port of the parent to a vsock port of the enclave. There
 * `openIngress` of `enclave-kms/enclave` takes it to a server on 127.0.0.1, such as one of gRPC.
 *
 * Not guaranteed: who calls. The enclave sees the parent's CID, and a parent reads and changes what passes unless the
 * two ends speak TLS.
 */
export class IngressBridge extends Bridge {
  /**
   * Opens the bridge.
   *
   * @param options Ends and limits
   * @returns The bridge. Dispose it with `await using`, or close it
   * @throws {TypeError} When an option is unknown or of a wrong type
   * @throws {RangeError} When a number is out of range, or the enclave's port is its control port or takes secrets
   * @throws {ConnectionError} When the TCP port is taken, or not permitted
   */
  static async open(options: IngressBridgeOptions): Promise<IngressBridge> {
    const { enclaveCid, enclavePort, host, port, controlPort, secretPorts, simulationFolder, ...limits } =
      checkFields(
        "ingress options",
        options,
        FIELDS,
      );
    const cid = checkInteger("enclaveCid", enclaveCid, ENCLAVE_CIDS);
    if (secretPorts !== undefined && !Array.isArray(secretPorts)) {
      throw new TypeError("secretPorts must be an array of ports");
    }
    const asked = enclavePort ?? DEFAULT_INGRESS_PORT;
    const target = checkBridgedPort("enclavePort", asked, controlPort, secretPorts);
    const address = {
      transport: "tcp",
      host: host === undefined ? "127.0.0.1" : checkText("host", host, 253),
      port: checkInteger("port", port, { min: 0, max: 65_535, default: DEFAULT_INGRESS_PORT }),
    } as const;
    return new IngressBridge(
      await openBridgeParts(address, vsockToConnect(cid, target, simulationFolder), limits),
    );
  }
}

const FIELDS = [
  "enclaveCid",
  "enclavePort",
  "host",
  "port",
  "controlPort",
  "secretPorts",
  "simulationFolder",
  ...BRIDGE_FIELDS,
];
