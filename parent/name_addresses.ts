import { BlockList, isIP } from "node:net";

/**
 * Addresses that no service has: link-local ones, among which are the metadata services of the instance and of
 * containers, their IPv6 forms, and those that stand for no host or for many.
 */
const NOBODYS: BlockList = blockList([
  ["0.0.0.0", 8],
  ["169.254.0.0", 16],
  ["224.0.0.0", 3],
  ["::", 128],
  ["64:ff9b::a9fe:0", 112],
  ["fd00:ec2::", 32],
  ["fe80::", 10],
  ["ff00::", 8],
]);

const LOOPBACK: BlockList = blockList([["127.0.0.0", 8], ["::1", 128]]);

/**
 * Leaves out addresses that a DNS name must not lead to, whoever answers for it: the metadata services of the instance, which give
 * its credentials to whoever reaches them, and services of this machine itself. Addresses of private networks stay: a VPC
 * endpoint has one.
 *
 * @param name DNS name; `localhost` and names below it may lead to this machine
 * @param addresses Answer for it, which may be anybody's
 * @param allowsLoopback Whether every name may lead to this machine, as on a laptop
 * @returns Addresses that may be connected to; maybe none
 */
export function usableAddresses(
  name: string,
  addresses: readonly string[],
  allowsLoopback: boolean,
): readonly string[] {
  const isOwn = allowsLoopback || /(?:^|\.)localhost\.?$/i.test(name);
  return addresses.filter((address) => {
    const family = isIP(address);
    if (family === 0 || has(NOBODYS, address, family)) return false;
    return isOwn || !has(LOOPBACK, address, family);
  });
}

function has(list: BlockList, address: string, family: number): boolean {
  const plain = address.replace(/%.*$/, "");
  if (list.check(plain, family === 4 ? "ipv4" : "ipv6")) return true;
  const mapped = mappedAddress(plain);
  return mapped !== undefined && list.check(mapped, "ipv4");
}

/** Finds the IPv4 address within one of IPv6, as `::ffff:a.b.c.d` and its hexadecimal form have it. */
function mappedAddress(address: string): string | undefined {
  const canonical = URL.parse(`http://[${address}]/`)?.hostname ?? "";
  const [, high, low] = /^\[::(?:ffff:)?([\da-f]{1,4}):([\da-f]{1,4})\]$/.exec(canonical) ?? [];
  if (high === undefined || low === undefined) return undefined;
  const [a, b] = [parseInt(high, 16), parseInt(low, 16)];
  return [a >> 8, a & 255, b >> 8, b & 255].join(".");
}

function blockList(subnets: readonly (readonly [address: string, bits: number])[]): BlockList {
  const list = new BlockList();
  for (const [address, bits] of subnets) list.addSubnet(address, bits, isIP(address) === 4 ? "ipv4" : "ipv6");
  return list;
}
