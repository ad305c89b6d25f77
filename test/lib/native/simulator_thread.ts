/**
 * A simulated enclave on a thread of its own, for tests whose own thread blocks in C meanwhile. Says what
 * there is to connect to, and stays until it is terminated.
 *
 * @module
 */
import { parentPort } from "node:worker_threads";
import type { TcpEndpoint } from "../../../lib/core/endpoint.ts";
import { startEnclave } from "../../support/engines.ts";

/** Message sent when the simulator listens. */
export interface SimulatedPeer {
  readonly region: string;
  readonly port: number;
  readonly trustedCertificates: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  readonly keyId: string;
}

/** There only when this file is started as a thread, and not when its types are read. */
if (parentPort !== null) {
  const { simulator } = await startEnclave();
  const { keyId } = await simulator.createKey();
  const { region, trustedCertificates, credentials } = simulator;
  const { port } = simulator.endpoint as TcpEndpoint;
  const { accessKeyId, secretAccessKey, sessionToken = "" } = credentials;
  const peer: SimulatedPeer = {
    region,
    port,
    trustedCertificates,
    accessKeyId,
    secretAccessKey,
    sessionToken,
    keyId,
  };
  parentPort.postMessage(peer);
}
