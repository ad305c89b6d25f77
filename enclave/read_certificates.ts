import { readFileSync } from "node:fs";
import { ConfigError, reasonOf } from "./settings.ts";

/**
 * Reads a file of certificates.
 *
 * @param path Path of the file
 * @param setting Words for the setting that names it
 * @returns PEM, with at least one certificate
 * @throws {ConfigError} When the file cannot be read, or has none
 */
export function readCertificates(path: string, setting: string): string {
  let pem: string;
  try {
    pem = readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError([`${setting}: ${path} cannot be read (${reasonOf(error)})`]);
  }
  if (pem.includes("-----BEGIN CERTIFICATE-----")) return pem;
  throw new ConfigError([`${setting}: ${path} has no certificate in PEM`]);
}
