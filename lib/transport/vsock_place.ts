import { rm } from "node:fs/promises";
import { join } from "node:path";
import { checkInteger, checkText } from "../core/checks.ts";
import { Deadline } from "../core/deadline.ts";
import { checkEndpoint, type Endpoint, type UnixEndpoint } from "../core/endpoint.ts";
import { ConnectionError } from "../core/errors.ts";
import { ANY_CID } from "./listen.ts";
import { openTransport } from "./open_transport.ts";

/** Longest wait for an answer of a unix socket of this machine, in milliseconds. */
const PROBE_TIMEOUT_MS = 1000;

const MAX_UINT32 = 0xffff_ffff;

/**
 * Finds the address of a vsock port to connect to. In a simulation each port is a unix socket,
 * `<folder>/<cid>-<port>.sock`.
 *
 * @param cid CID of the machine that listens, 0 to 2^32 - 1
 * @param port Port, 0 to 2^32 - 1
 * @param simulationFolder Folder of the simulation's sockets, without which it is vsock
 * @throws {RangeError} When a number is out of range, or the path is over 107 bytes
 */
export function vsockToConnect(cid: number, port: number, simulationFolder: string | undefined): Endpoint {
  if (simulationFolder === undefined) return checkEndpoint({ transport: "vsock", cid, port });
  return simulatedVsock(cid, port, simulationFolder);
}

/**
 * Finds the address of a vsock port to listen on. In a simulation a socket that nobody listens on any more is removed.
 *
 * @param cid CID of this machine, which matters in a simulation only
 * @param port Port, 0 to 2^32 - 1
 * @param simulationFolder Folder of the simulation's sockets, without which it is vsock
 * @throws {RangeError} When a number is out of range, or the path is over 107 bytes
 */
export async function vsockToListen(
  cid: number,
  port: number,
  simulationFolder: string | undefined,
): Promise<Endpoint> {
  if (simulationFolder === undefined) return checkEndpoint({ transport: "vsock", cid: ANY_CID, port });
  const endpoint = simulatedVsock(cid, port, simulationFolder);
  await removeStaleSocket(endpoint.path);
  return endpoint;
}

function simulatedVsock(cid: number, port: number, simulationFolder: string): UnixEndpoint {
  const folder = checkText("simulationFolder", simulationFolder, 107);
  checkInteger("cid", cid, { min: 0, max: MAX_UINT32 });
  checkInteger("port", port, { min: 0, max: MAX_UINT32 });
  return checkEndpoint({ transport: "unix", path: join(folder, `${cid}-${port}.sock`) }) as UnixEndpoint;
}

/**
 * Removes a unix socket that a process left behind which ended without closing it: nobody listens there. Anything else is
 * left alone, and listening then says that the address is taken.
 *
 * @param path Path of the socket
 */
export async function removeStaleSocket(path: string): Promise<void> {
  using deadline = new Deadline("look for a listener", PROBE_TIMEOUT_MS);
  try {
    (await openTransport({ transport: "unix", path }, deadline)).destroy();
  } catch (error) {
    const { code } = ((error as ConnectionError).cause ?? {}) as { code?: string };
    if (error instanceof ConnectionError && code === "ECONNREFUSED") await rm(path, { force: true });
  }
}
