/**
 * Program of Dockerfile.vsock-proxy: `[--config FILE] [-4|-6] [-w N] <local_port> <remote_host> <remote_port>`, as AWS's
 * vsock-proxy, until SIGTERM. A host that is not on the allow-list is refused before anything listens.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import {
  KmsProxy,
  parseVsockProxyArguments,
  readVsockProxyAllowList,
  vsockProxyOptions,
} from "enclave-kms/parent";

/** Time for connections that are open at the end. */
const GRACE_MS = 10_000;

try {
  const args = parseVsockProxyArguments(process.argv.slice(2));
  const options = vsockProxyOptions(args, readVsockProxyAllowList(readFileSync(args.configFile, "utf8")));
  const simulationFolder = process.env["ENCLAVE_KMS_SIMULATION_FOLDER"] || undefined;
  const proxy = await KmsProxy.open({ ...options, simulationFolder });
  for (const signal of ["SIGTERM", "SIGINT"]) {
    process.once(signal, () => void proxy.close({ graceMs: GRACE_MS }));
  }
  console.error(`vsock-proxy: vsock ${args.localPort} leads to ${args.remoteHost}:${args.remotePort}`);
} catch (error) {
  console.error(`vsock-proxy: ${error instanceof Error ? error.message : "it cannot be started"}`);
  process.exitCode = 1;
}
