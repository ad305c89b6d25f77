import type { Hono } from "hono";
import type { Schema } from "hono/types";
import { DEFAULT_REGION } from "../lib/aws/region.ts";
import { NsmSocket } from "../lib/nsm/nsm_socket.ts";
import { chooseRuntimeCrypto } from "../lib/kms/runtime_crypto.ts";
import { Enclave } from "./enclave.ts";
import { configSchema, printSchemaIfAsked } from "./config_schema.ts";
import {
  ENCLAVE_READER,
  type EnclaveConfig,
  enclaveVariableOf,
  readEnclaveConfig,
  unknownEnclaveVariables,
} from "./enclave_config.ts";
import { checkApplication } from "./enclave_app.ts";
import type { EnclaveEnv } from "./enclave_env.ts";
import { checkEnclaveOptions, type EnclaveOptions } from "./enclave_options.ts";
import { checkDeclarations } from "./secrets/check_declarations.ts";
import { secretPorts } from "./secrets/secret_ports.ts";
import { useLightClasses } from "./http/light_response.ts";
import { SEALED } from "./routes/sealed.ts";
import { EnclaveRuntime } from "./runtime.ts";
import type { Logger } from "./telemetry/log.ts";

/**
 * Runs an application in the enclave: reads the settings, loads the policy, listens, waits for the declared secrets, and
 * ends in good order on SIGTERM. While it waits it answers already, and `/readyz` says what is missing.
 * Limits, deadlines, back-pressure and the log are those of the decrypt server.
 *
 * Routes must be there before the start: those that are added afterwards are not served. A handler for unknown paths of
 * the application's own (`notFound`) is not asked: they are answered with 404 and a problem document.
 *
 * A program that was started with `--print-config-schema` writes the JSON Schema of its settings to standard output in the
 * place of all this, and ends with 0.
 *
 * @param app Application, or a chain of its routes
 * @param options Name and declaration of the application
 * @returns The enclave, listening; dispose it with `await using`
 * @throws {TypeError} When an option is unknown or of a wrong type, a secret lacks a pin, a route is there twice, or a gate asks about an action
 *   that is not declared
 * @throws {ConfigError} When a setting is wrong, or the file of trusted certificates cannot be read
 * @throws {PolicyLoadError} When there is a policy file and it does not load
 * @throws {SecretError} When a declared secret is missing at the end of the window, or PCR16 cannot record them
 * @throws {RangeError} When a port of an ingress is none, or one that only the parent may reach
 * @throws {ConnectionError} When an address is taken, or there is no vsock
 * @throws {LibraryLoadError} When libc does not load, which listening on vsock needs
 * @throws {SystemCallError} When the kernel refuses a socket for another reason
 * @example
 * ```ts
 * import { enclaveApp, startEnclave } from "enclave-kms/enclave";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * const app = enclaveApp().get("/v1/hello", (c) => c.json({ hello: "enclave" }));
 * await using simulator = await startSimulator(); // in an enclave: no parts, and no environment
 * await using enclave = await startEnclave(app, {
 *   name: "hello",
 *   nsm: simulator.nsm,
 *   environment: { ENV_SETUP: "SIM", ENCLAVE_PORT: "0", CONTROL_PORT: "0", ENCLAVE_KMS_LOG_LEVEL: "silent" },
 * });
 * enclave.endpoint.transport; // "tcp"
 * ```
 */
export async function startEnclave<Routes extends Schema, Path extends string>(
  app: Hono<EnclaveEnv, Routes, Path>,
  options: EnclaveOptions,
): Promise<Enclave> {
  const checked = checkEnclaveOptions(options);
  const { actions, attributes, claims, needs, signatureAlgorithm, environment, parts } = checked;
  const reader = checked.settings?.reader ?? ENCLAVE_READER;
  printSchemaIfAsked(() => configSchema(reader));
  const needsTls = checked.ingresses.some(({ tls }) => tls === true);
  const secrets = await checkDeclarations(checked.secrets);
  checkApplication(app as unknown as Hono<EnclaveEnv>, actions);
  const config = readEnclaveConfig(environment, { needsTls, reader });
  const ports = secretPorts(secrets, config);
  const { simulatedNsm } = config;
  const nsm = parts.nsm ?? (simulatedNsm === undefined ? undefined : new NsmSocket(simulatedNsm));
  if (config.libcrypto !== undefined) chooseRuntimeCrypto(config.libcrypto);
  const runtime = new EnclaveRuntime(config, { ...parts, nsm }, {
    name: checked.name,
    actions,
    attributes,
    claims,
    needs,
    signatureAlgorithm,
    needsTls,
    isSealed: checked.routes.includes(SEALED),
    variableOf: enclaveVariableOf,
  });
  if (parts.keepGlobals !== true) useLightClasses(runtime.closed);
  for (const problem of unknownEnclaveVariables(environment, reader)) {
    runtime.logger.warn({ problem }, "a variable is not read");
  }
  warn(runtime.logger, config, nsm !== undefined);
  const enclave = new Enclave(checked, config, { runtime, secrets, ports });
  await enclave.start(app as unknown as Hono<EnclaveEnv>);
  return enclave;
}

/** Warns of settings that are likely mistakes. */
function warn(logger: Logger, config: EnclaveConfig, hasNsm: boolean): void {
  if (config.region === undefined) {
    const setting = `region (${enclaveVariableOf("region")})`;
    logger.warn({ setting }, `no region is set: KMS is asked in ${DEFAULT_REGION}`);
  }
  if (config.envSetup === "SIM" && !hasNsm) {
    const setting = `simulatedNsm (${enclaveVariableOf("simulatedNsm")})`;
    logger.warn({ setting }, "there is no simulated NSM: runSimulated() of enclave-kms/sim sets one up");
  }
}
