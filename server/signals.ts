import process from "node:process";
import type { Server } from "./server.ts";

/**
 * SIGTERM and SIGINT end the server in good order, and then the process; SIGHUP loads the policy again.
 *
 * @param server The server
 * @param onClosed Called in between
 */
export function handleSignals(server: Server, onClosed: () => Promise<void> = () => Promise.resolve()): void {
  const stop = async () => {
    await server.close();
    await onClosed();
    process.exit(0);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void stop());
  process.on("SIGHUP", () => server.reloadPolicy());
}
