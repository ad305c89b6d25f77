/**
 * Half of a bridge into an enclave, in a process of its own: `node bench/bridge/half_process.ts inside FOLDER PORT` is the
 * enclave's, to a port of 127.0.0.1, and `node bench/bridge/half_process.ts outside FOLDER` the parent's, on a free TCP
 * port. Prints a line when it is open: that port, or 0.
 *
 * @module
 */
import process from "node:process";
import { openIngress } from "../../enclave/ingress.ts";
import { IngressBridge } from "../../parent/ingress_bridge.ts";

if (import.meta.main) {
  const [half, simulationFolder = "", port] = process.argv.slice(2);
  const { endpoint } = half === "inside"
    ? await openIngress({ simulationFolder, targetPort: Number(port) })
    : await IngressBridge.open({ simulationFolder, enclaveCid: 16, port: 0 });
  console.log(endpoint.transport === "tcp" ? endpoint.port : 0);
}
