import { connect } from "node:net";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import { listen, type Listener } from "../../lib/transport/listen.ts";
import { PARENT } from "./guest_addresses.ts";

/**
 * Forwards connections to the address of the proxy to KMS, as vsock-proxy does on the parent.
 *
 * @param kms Endpoint of the simulated KMS, on TCP
 */
export function startKmsProxy(kms: Endpoint): Promise<Listener> {
  if (kms.transport !== "tcp") throw new TypeError("The simulated KMS must be on TCP");
  const { host, port } = kms;
  return listen(PARENT, {}, ({ stream }) => {
    const upstream = connect({ host, port, allowHalfOpen: true });
    upstream.on("error", () => stream.destroy());
    upstream.on("close", () => stream.destroy());
    stream.on("close", () => upstream.destroy());
    stream.pipe(upstream).pipe(stream);
  });
}
