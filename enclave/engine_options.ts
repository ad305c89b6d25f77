import type { BaseConfig } from "./base_config.ts";
import type { SharedEngineOptions } from "./engine_pool.ts";
import { readCertificates } from "./read_certificates.ts";
import type { RuntimeParts } from "./runtime_options.ts";

/** Most connections of a client to KMS. */
const MAX_CONNECTIONS = 1024;

/**
 * Chooses the options of all engines from the settings.
 *
 * @param config Settings after every check
 * @param parts Parts in the place of the real ones
 * @param variableOf Names the variable of a setting, for messages
 * @throws {ConfigError} When the file of trusted certificates cannot be read, or has none
 */
export function engineOptions(
  config: BaseConfig,
  { nsm, trustedCertificates }: RuntimeParts,
  variableOf: (setting: string) => string,
): SharedEngineOptions {
  const { engine, kms: endpoint, hostName, library, requestTimeoutMs, maxConcurrent } = config;
  return {
    engine,
    endpoint,
    hostName,
    library,
    nsm,
    trustedCertificates: trustedCertificates ?? readTrusted(config, variableOf),
    timeoutMs: requestTimeoutMs,
    // One for each request that runs: none of them waits for another.
    maxConnections: Math.min(maxConcurrent, MAX_CONNECTIONS),
  };
}

function readTrusted(
  { trustedCertificatesFile: path }: BaseConfig,
  variableOf: (setting: string) => string,
): string | undefined {
  if (path === undefined) return undefined;
  return readCertificates(path, `trustedCertificatesFile (${variableOf("trustedCertificatesFile")})`);
}
