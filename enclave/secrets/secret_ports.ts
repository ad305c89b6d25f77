import { DEFAULT_REGION } from "../../lib/aws/region.ts";
import type { EnclaveConfig } from "../enclave_config.ts";
import { ConfigError } from "../settings.ts";
import type { CheckedSecret } from "./checked_secret.ts";

/**
 * Chooses the vsock ports that secrets arrive on, and checks them with the settings.
 *
 * @param secrets Declarations
 * @param config Settings
 * @returns Port of each secret that has one
 * @throws {ConfigError} When two listeners would have one port, a key is in another region than KMS is asked in, or a
 *   simulation has no folder for the ports
 */
export function secretPorts(
  secrets: readonly CheckedSecret[],
  config: EnclaveConfig,
): ReadonlyMap<CheckedSecret, number> {
  const ports = new Map(secrets.flatMap((secret) => {
    const { port } = secret;
    return port === undefined ? [] : [[secret, typeof port === "string" ? config[port] : port] as const];
  }));
  const problems = [...samePorts(ports, config), ...otherRegions(secrets, config)];
  if (ports.size > 0 && config.envSetup === "SIM" && config.simulationFolder === undefined) {
    problems.push(
      "simulationFolder: must be set in a simulation with secrets, whose ports are unix sockets there",
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return ports;
}

function samePorts(ports: ReadonlyMap<CheckedSecret, number>, config: EnclaveConfig): string[] {
  const taken = new Map<number, string>();
  for (const name of ["credentialsPort", "controlPort", "vsockPort"] as const) taken.set(config[name], name);
  return [...ports].flatMap(([{ name }, port]) => {
    const other = taken.get(port);
    taken.set(port, `secret ${name}`);
    return other === undefined
      ? []
      : [`secret ${name}: must not have port ${port}, which is that of ${other}`];
  });
}

function otherRegions(
  secrets: readonly CheckedSecret[],
  { region = DEFAULT_REGION }: EnclaveConfig,
): string[] {
  return secrets.flatMap(({ name, source }) => {
    const inner = source.kind === "shares" ? source.from : source;
    const of = inner.kind === "kms" ? inner.keyArn?.split(":")[3] : undefined;
    return of === undefined || of === region
      ? []
      : [`region: must be ${of}, where the key of secret ${name} is`];
  });
}
