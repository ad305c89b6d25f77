import { checkFields, checkInteger } from "../lib/core/checks.ts";
import {
  Bridge,
  BRIDGE_FIELDS,
  type BridgeEntrance,
  type BridgeOptions,
  openBridgeParts,
} from "../lib/transport/bridge.ts";
import { checkBridgedPort, DEFAULT_INGRESS_PORT } from "../lib/transport/enclave_ports.ts";
import { raiseLoopback } from "../lib/transport/loopback.ts";
import { vsockToListen } from "../lib/transport/vsock_place.ts";

/** CID of an enclave in a simulation, as nitro-cli's examples give it. */
const SIMULATED_CID = 16;

/** Ends and limits of an {@link openIngress}; all have defaults. */
export interface IngressOptions extends BridgeOptions {
  /** Vsock port of this enclave, 1 to 2^32 - 2. Default: 50051. */
  readonly port?: number | undefined;
  /** Port of 127.0.0.1 to connect to, 1 to 65535. Default: the vsock port. */
  readonly targetPort?: number | undefined;
  /** Vsock port of the control listener, which no bridge may reach; 0 for none. Default: 7099. */
  readonly controlPort?: number | undefined;
  /** Folder in which unix sockets stand for vsock, on a laptop. Default: vsock itself. */
  readonly simulationFolder?: string | undefined;
  /** CID of this enclave in the simulation. Default: 16. */
  readonly simulatedCid?: number | undefined;
}

/**
 * Opens the enclave's half of a bridge into it: from a vsock port to a server on 127.0.0.1. The parent's half is
 * `IngressBridge` of `enclave-kms/parent`. Raises the loopback interface when it is down, which takes root.
 *
 * Not guaranteed: who calls, or that the parent does not read along. The server has to end TLS for that, or the
 * ingress does, as `startEnclave()` opens it with `tls: true`.
 *
 * @param options Ends and limits
 * @returns The bridge. Dispose it with `await using`, or close it
 * @throws {TypeError} When an option is unknown or of a wrong type
 * @throws {RangeError} When a number is out of range, or a port is the control port or one of 7100 to 7102
 * @throws {ConnectionError} When the vsock port is taken, or there is no vsock in this kernel
 * @throws {SystemCallError} When the loopback interface is down and cannot be raised
 * @throws {LibraryLoadError} When libc cannot be called
 */
export async function openIngress(options: IngressOptions = {}): Promise<Bridge> {
  return await openIngressBy(checkFields("ingress options", options, INGRESS_FIELDS));
}

/** Names of all {@link IngressOptions}. */
export const INGRESS_FIELDS: readonly string[] = [
  "port",
  "targetPort",
  "controlPort",
  "simulationFolder",
  "simulatedCid",
  ...BRIDGE_FIELDS,
];

/**
 * Opens an ingress as {@link openIngress} does.
 *
 * @param options Ends and limits
 * @param entrance Way of connections before the server. Default: none
 */
export async function openIngressBy(options: IngressOptions, entrance?: BridgeEntrance): Promise<Bridge> {
  const { port, targetPort, controlPort, simulationFolder, simulatedCid = SIMULATED_CID, ...limits } =
    options;
  const from = checkBridgedPort("port", port ?? DEFAULT_INGRESS_PORT, controlPort);
  const to = checkBridgedPort("targetPort", targetPort ?? from, controlPort);
  checkInteger("targetPort", to, { min: 1, max: 65_535 });
  const listening = await vsockToListen(simulatedCid, from, simulationFolder);
  if (simulationFolder === undefined) raiseLoopback();
  const target = { transport: "tcp", host: "127.0.0.1", port: to } as const;
  return new Bridge(await openBridgeParts(listening, target, limits, entrance));
}
