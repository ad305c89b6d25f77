/**
 * The decrypt server: HTTP routes and the kmstool protocol over KMS, behind a policy that must say yes first.
 *
 * {@link startServer} runs it in this process, and {@link AppType} types a client of it for Hono's `hc`. It needs the
 * packages hono, pino and valibot, and a policy in Cedar needs @cedar-policy/cedar-wasm: they are optional peer
 * dependencies. The room imports enclave/ and lib/ but lib/native. Begin with server.ts and app.ts.
 *
 * @example
 * ```ts
 * import { hc } from "hono/client";
 * import { readConfig, startServer, type AppType } from "enclave-kms/server";
 * import { startSimulator } from "enclave-kms/sim";
 * import { createFetch } from "enclave-kms/vsock";
 *
 * await using enclave = await startSimulator(); // in an enclave: readConfig(process.env), and no parts
 * const config = readConfig({
 *   ENCLAVE_KMS_REGION: enclave.clientOptions.region,
 *   ENCLAVE_KMS_HTTP: "tcp:127.0.0.1:0",
 *   ENCLAVE_KMS_KMSTOOL: "off",
 *   ENCLAVE_KMS_LOG_LEVEL: "silent",
 * });
 * await using server = await startServer(config, { nsm: enclave.clientOptions.nsm });
 *
 * const fetch = createFetch(server.httpEndpoint!);
 * const client = hc<AppType>("http://enclave", { fetch });
 * (await client.healthz.$get()).status; // 200
 * ```
 *
 * @module
 */
export { type AppParts, type AppType, type ControlType, createApp } from "./app.ts";
export {
  ConnectionError,
  EnclaveKmsError,
  type ErrorCode,
  LibraryLoadError,
  PolicyLoadError,
  SystemCallError,
} from "../lib/core/errors.ts";
export { ConfigError } from "../enclave/settings.ts";
export { type Config, readConfig } from "./config.ts";
export { type Server, type ServerParts, startServer } from "./server.ts";
