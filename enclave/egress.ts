import { checkFields, checkInteger } from "../lib/core/checks.ts";
import { PARENT_CID } from "../lib/core/endpoint.ts";
import { type Bridge, BRIDGE_FIELDS, type BridgeOptions, openBridge } from "../lib/transport/bridge.ts";
import { checkBridgedPort, DEFAULT_EGRESS_PORT } from "../lib/transport/enclave_ports.ts";
import { raiseLoopback } from "../lib/transport/loopback.ts";
import { vsockToConnect } from "../lib/transport/vsock_place.ts";

/** Ends and limits of an {@link openEgress}; all have defaults. */
export interface EgressOptions extends BridgeOptions {
  /** Port of 127.0.0.1 in this enclave, 1 to 65535. Default: 8080. A simulation takes a free one instead. */
  readonly port?: number | undefined;
  /** Vsock port of the parent, 1 to 2^32 - 2. Default: 8080. */
  readonly parentPort?: number | undefined;
  /** Folder in which unix sockets stand for vsock, on a laptop. Default: vsock itself. */
  readonly simulationFolder?: string | undefined;
  /** Prints a line with the port that was chosen in a simulation. Default: `console.log`. */
  readonly print?: ((line: string) => void) | undefined;
}

/**
 * Opens the enclave's half of a bridge out of it: from a port of 127.0.0.1 to a vsock port of the parent. The parent's
 * half is `EgressBridge` of `enclave-kms/parent`. Raises the loopback interface when it is down, which takes root.
 *
 * Not guaranteed: that the parent connects where it should, or does not read along. Speak TLS with the service, and
 * check its certificate inside.
 *
 * @param options Ends and limits
 * @returns The bridge. Dispose it with `await using`, or close it
 * @throws {TypeError} When an option is unknown or of a wrong type
 * @throws {RangeError} When a number is out of range, or the parent's port is 7099 to 7102
 * @throws {ConnectionError} When the port of 127.0.0.1 is taken
 * @throws {SystemCallError} When the loopback interface is down and cannot be raised
 * @throws {LibraryLoadError} When libc cannot be called
 */
export async function openEgress(options: EgressOptions = {}): Promise<Bridge> {
  const { port, parentPort, simulationFolder, print = console.log, ...limits } = checkFields(
    "egress options",
    options,
    ["port", "parentPort", "simulationFolder", "print", ...BRIDGE_FIELDS],
  );
  if (typeof print !== "function") throw new TypeError("print must be a function");
  const isSimulated = simulationFolder !== undefined;
  const from = checkInteger("port", port, { min: 1, max: 65_535, default: DEFAULT_EGRESS_PORT });
  const to = checkBridgedPort("parentPort", parentPort ?? DEFAULT_EGRESS_PORT, undefined);
  const target = vsockToConnect(PARENT_CID, to, simulationFolder);
  if (!isSimulated) raiseLoopback();
  // Both halves of a simulation share 127.0.0.1.
  const address = { transport: "tcp", host: "127.0.0.1", port: isSimulated ? 0 : from } as const;
  const bridge = await openBridge(address, target, limits);
  const { endpoint } = bridge;
  if (isSimulated && endpoint.transport === "tcp") {
    print(`The enclave's way to port ${to} of the parent is 127.0.0.1:${endpoint.port}`);
  }
  return bridge;
}
