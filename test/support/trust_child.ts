/**
 * Opens a client that is given no certificates, and prints what comes of it. Nothing listens where its KMS
 * should be.
 *
 * @module
 */
import process from "node:process";
import { KmsClient, type KmsClientOptions } from "../../mod.ts";
import type { NsmTransport } from "../../lib/nsm/mod.ts";

const { engine, library } = JSON.parse(process.argv[2] ?? "{}") as Pick<
  KmsClientOptions,
  "engine" | "library"
>;

/** It is never asked. */
const nsm: NsmTransport = {
  exchange: () => Promise.reject(new Error("asked")),
  [Symbol.dispose]: () => {},
};

try {
  await using client = await KmsClient.open({
    region: "eu-central-1",
    credentials: { accessKeyId: "AKIA", secretAccessKey: "secret" },
    endpoint: { transport: "unix", path: "/nonexistent/socket" },
    timeoutMs: 60_000,
    engine,
    library,
    ...(engine === "direct" ? { nsm } : {}),
  });
  console.log(`opened ${client.engine}`);
} catch (error) {
  const { message, code, hint } = error as { message: string; code: string; hint: string };
  console.log(`${code}: ${message} (${hint})`);
}
process.exit();
