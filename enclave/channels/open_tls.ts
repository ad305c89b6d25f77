import type { BaseConfig } from "../base_config.ts";
import { readCertificates } from "../read_certificates.ts";
import { ConfigError } from "../settings.ts";
import { TlsChannel, type TlsChannelParts } from "./tls_channel.ts";

/**
 * Makes the TLS channel that the settings ask for.
 *
 * @param config Settings after every check
 * @param parts Keys of this boot, the clock for clients' certificates, and whether something else than the endpoint of
 *   the settings needs TLS
 * @param variableOf Names the variable of a setting, for messages
 * @returns The channel; undefined when nothing needs TLS
 * @throws {ConfigError} When the file of clients' authorities cannot be read, or has another kind of certificate
 */
export function openTls(
  { tls, clientAuthoritiesFile: path }: Pick<BaseConfig, "tls" | "clientAuthoritiesFile">,
  { needsTls, ...parts }: Pick<TlsChannelParts, "keys" | "now"> & { readonly needsTls: boolean },
  variableOf: (setting: string) => string,
): TlsChannel | undefined {
  if (tls === null && !needsTls) return undefined;
  if (path === undefined) return TlsChannel.create(parts);
  const setting = `clientAuthoritiesFile (${variableOf("clientAuthoritiesFile")})`;
  const clientAuthorities = readCertificates(path, setting);
  try {
    return TlsChannel.create({ ...parts, clientAuthorities });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new ConfigError([`${setting}: ${path}: ${error.message}`]);
  }
}
