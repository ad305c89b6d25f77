import type { Endpoint } from "./endpoint.ts";

/**
 * Reads an endpoint as it is written in settings and flags: `vsock:CID:PORT`, `tcp:HOST:PORT` (an IPv6
 * address in brackets) or `unix:PATH`.
 *
 * @param text As it was written
 * @param lowestPort Of TCP: 0, which means any, is for those who listen
 * @returns The endpoint; undefined when it is none, or a number is out of range
 */
export function parseEndpoint(text: string, lowestPort: 0 | 1 = 1): Endpoint | undefined {
  const [, cid, vsockPort] = /^vsock:(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  if (cid !== undefined) {
    const [cidNumber, port] = [Number(cid), Number(vsockPort)];
    return Math.max(cidNumber, port) > 0xffff_ffff ? undefined : { transport: "vsock", cid: cidNumber, port };
  }
  const path = /^unix:(.{1,107})$/.exec(text)?.[1];
  if (path !== undefined) return { transport: "unix", path };
  const [, host, port] = /^tcp:([^\s:]{1,253}|\[[0-9a-f:]+\]):(\d{1,5})$/i.exec(text) ?? [];
  if (host === undefined || !(Number(port) >= lowestPort && Number(port) <= 65_535)) return undefined;
  return { transport: "tcp", host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}
