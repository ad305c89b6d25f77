import { checkFields } from "../core/checks.ts";

/** Region where none is named, as for the AWS SDKs' own global endpoints and for kmstool. */
export const DEFAULT_REGION = "us-east-1";

/** Which of KMS's host names to use. */
export interface KmsHostNameOptions {
  /** The endpoint with FIPS 140 validated modules. Default: false. */
  readonly fips?: boolean | undefined;
}

/**
 * The host name of KMS in a region of any AWS partition.
 *
 * @param region Such as `eu-central-1`, `us-gov-west-1` or `cn-north-1`
 * @param options Whether to use the FIPS endpoint
 * @returns Such as `kms.eu-central-1.amazonaws.com`
 * @throws {TypeError} If the region is malformed, or an option unknown or of a wrong type
 * @example
 * ```ts
 * import { kmsHostName } from "enclave-kms";
 *
 * kmsHostName("us-gov-west-1", { fips: true }); // "kms-fips.us-gov-west-1.amazonaws.com"
 * ```
 */
export function kmsHostName(region: string, options: KmsHostNameOptions = {}): string {
  checkRegion(region);
  const { fips = false } = checkFields("options of kmsHostName", options, ["fips"]);
  if (typeof fips !== "boolean") throw new TypeError("fips must be a boolean");
  return `kms${fips ? "-fips" : ""}.${region}.${dnsSuffix(region)}`;
}

/**
 * The host name of S3 in a region of any AWS partition.
 *
 * @param region Such as `eu-central-1`
 * @returns Such as `s3.eu-central-1.amazonaws.com`
 * @throws {TypeError} If the region is malformed
 */
export function s3HostName(region: string): string {
  return `s3.${checkRegion(region)}.${dnsSuffix(region)}`;
}

/**
 * Checks the form of a region; regions to come pass too.
 *
 * @param region Such as `eu-central-1`, at most 32 characters
 * @returns The same
 * @throws {TypeError} If it is malformed
 */
export function checkRegion(region: string): string {
  if (typeof region === "string" && region.length <= 32 && REGION.test(region)) return region;
  throw new TypeError("Cannot use region: expected a name such as eu-central-1");
}

/**
 * Checks a host name that replaces the region's own, such as a VPC endpoint's. TLS and SigV4 both use it, so
 * it must be the name in KMS's certificate and cannot be an IP address.
 *
 * @param hostName Labels of letters, digits and hyphens, at most 253 characters
 * @returns The name in lowercase
 * @throws {TypeError} If it is malformed
 */
export function checkHostName(hostName: string): string {
  if (typeof hostName === "string" && hostName.length <= 253 && HOST_NAME.test(hostName)) {
    return hostName.toLowerCase();
  }
  throw new TypeError("Cannot use hostName: expected a DNS name such as kms.eu-central-1.amazonaws.com");
}

/** Form of a region, of at most 32 characters. */
export const REGION: RegExp = /^[a-z]{2,4}(?:-[a-z]{1,16}){1,3}-[1-9][0-9]?$/;

/** Form of a host name, of at most 253 characters. The last label starts with a letter, which no IP address does. */
export const HOST_NAME: RegExp =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)*[a-zA-Z](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/;

const DNS_SUFFIXES: readonly (readonly [prefix: string, suffix: string])[] = [
  ["cn-", "amazonaws.com.cn"],
  ["eusc-", "amazonaws.eu"],
  ["us-iso-", "c2s.ic.gov"],
  ["us-isob-", "sc2s.sgov.gov"],
  ["eu-isoe-", "cloud.adc-e.uk"],
  ["us-isof-", "csp.hci.ic.gov"],
];

function dnsSuffix(region: string): string {
  return DNS_SUFFIXES.find(([prefix]) => region.startsWith(prefix))?.[1] ?? "amazonaws.com";
}
