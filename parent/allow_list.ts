import { isIP } from "node:net";
import { checkHostName } from "../lib/aws/region.ts";
import { checkInteger } from "../lib/core/checks.ts";

/** Host that may be connected to. */
export interface AllowedHost {
  /** DNS name, IP address, or `*.s3.<region>.amazonaws.com`, in which the star is one label: a bucket. */
  readonly name: string;
  /** TCP port, 1 to 65535. */
  readonly port: number;
}

/** Names below which a star may stand for one label: those of buckets. */
const BUCKETS = /^\*\.s3\.[a-z]{2,4}(?:-[a-z]{1,16}){1,3}-[1-9][0-9]?\.amazonaws\.com(?:\.cn)?$/;

/** List of the hosts that may be connected to. Names are compared without case and without a final dot. */
export class AllowList {
  readonly #allowed: ReadonlySet<string>;

  /**
   * Checks the hosts.
   *
   * @param hosts At least one host
   * @throws {TypeError} When there is none, or a name is malformed or has a star elsewhere
   * @throws {RangeError} When a port is out of range
   */
  constructor(hosts: readonly AllowedHost[]) {
    if (!Array.isArray(hosts) || hosts.length === 0) {
      throw new TypeError("The allow-list must have at least one host");
    }
    this.#allowed = new Set(hosts.map(({ name, port }) => {
      checkInteger("port of the allow-list", port, { min: 1, max: 65_535 });
      return keyOf(checkName(name), port);
    }));
  }

  /**
   * Tells whether a host may be connected to.
   *
   * @param name DNS name or IP address
   * @param port TCP port
   */
  has(name: string, port: number): boolean {
    return this.find(name, port) !== undefined;
  }

  /**
   * Finds the name whose addresses an allowed host has. For a bucket it is that of S3 in its region, whose servers serve
   * every bucket: a name that an enclave made up is never looked up, which would tell name servers what it holds, and
   * take the resolver's threads.
   *
   * @param name DNS name or IP address
   * @param port TCP port
   * @returns A name of the list, without the star; undefined when the host may not be connected to
   */
  find(name: string, port: number): string | undefined {
    const plain = plainName(name);
    if (this.#allowed.has(keyOf(plain, port))) return plain;
    const bucket = plain.replace(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\./, "*.");
    const isAllowed = BUCKETS.test(bucket) && this.#allowed.has(keyOf(bucket, port));
    return isAllowed ? bucket.slice(2) : undefined;
  }
}

/**
 * Writes a DNS name as it is compared.
 *
 * @param name Name in any case, with or without a final dot
 */
export function plainName(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

function checkName(name: string): string {
  if (typeof name !== "string") throw new TypeError("A name of the allow-list must be a string");
  const plain = plainName(name);
  if (BUCKETS.test(plain) || isIP(plain) !== 0) return plain;
  if (plain.includes("*")) {
    throw new TypeError(
      `The allow-list cannot have ${
        quote(name)
      }: a star stands for a bucket, as in *.s3.eu-central-1.amazonaws.com`,
    );
  }
  try {
    return checkHostName(plain);
  } catch {
    throw new TypeError(`The allow-list cannot have ${quote(name)}: that is no DNS name and no IP address`);
  }
}

function quote(name: string): string {
  return JSON.stringify(name.slice(0, 253));
}

function keyOf(name: string, port: number): string {
  return `${name} ${port}`;
}
