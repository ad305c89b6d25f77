import type { KmsProxyOptions } from "./kms_proxy.ts";

/** Environment of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the settings of the proxy to KMS from the environment: `KMS_PROXY_ENABLE` (`true`, `false`, `1` or `0`),
 * `KMS_PROXY_PORT` (vsock ports, with commas between them), `KMS_PROXY_DEST_HOST`, `KMS_PROXY_DEST_PORT`, and
 * `AWS_REGION`. An empty variable counts as one that is not set.
 *
 * @param env Environment
 * @returns The options; undefined when the proxy is switched off
 * @throws {TypeError} When a variable is malformed. The message names it
 * @throws {RangeError} When a number is out of range
 * @example
 * ```ts
 * import { readKmsProxySettings } from "enclave-kms/parent";
 *
 * const options = readKmsProxySettings({ KMS_PROXY_PORT: "5000,8000", AWS_REGION: "eu-central-1" });
 * options?.ports?.length; // 2
 * ```
 */
export function readKmsProxySettings(env: Environment): KmsProxyOptions | undefined {
  const text = (name: string) => env[name] === "" ? undefined : env[name];
  if (!readSwitch(text("KMS_PROXY_ENABLE"))) return undefined;
  const ports = text("KMS_PROXY_PORT")?.split(",").map((part) =>
    readPort("KMS_PROXY_PORT", part.trim(), 0xffff_fffe)
  );
  const port = text("KMS_PROXY_DEST_PORT");
  return {
    region: text("AWS_REGION"),
    host: text("KMS_PROXY_DEST_HOST"),
    port: port === undefined ? undefined : readPort("KMS_PROXY_DEST_PORT", port, 65_535),
    ports,
  };
}

function readSwitch(value = "true"): boolean {
  if (!["true", "false", "1", "0"].includes(value)) {
    throw new TypeError("KMS_PROXY_ENABLE must be true, false, 1 or 0");
  }
  return value === "true" || value === "1";
}

/**
 * Reads a port that is written as a decimal number.
 *
 * @param name Name of the setting, for messages
 * @param text Digits
 * @param max Highest port
 */
export function readPort(name: string, text: string, max: number): number {
  if (!/^\d{1,10}$/.test(text)) throw new TypeError(`${name} must be a port: digits only`);
  const port = Number(text);
  if (port < 1 || port > max) throw new RangeError(`${name} must be a port from 1 to ${max}`);
  return port;
}
