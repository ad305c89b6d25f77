/**
 * Bridge in a process of its own: `node bench/bridge/bridge_process.ts SOCKET` leads a free TCP port, which it prints, to
 * a unix socket.
 *
 * @module
 */
import process from "node:process";
import { openBridge } from "../../lib/transport/bridge.ts";

if (import.meta.main) {
  const bridge = await openBridge(
    { transport: "tcp", host: "127.0.0.1", port: 0 },
    { transport: "unix", path: process.argv[2] ?? "" },
    { backlog: 1024, maxConnections: 10_000 },
  );
  if (bridge.endpoint.transport === "tcp") console.log(bridge.endpoint.port);
}
