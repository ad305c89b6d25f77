import type { ConnectionStream, VsockPeer } from "./connection.ts";

/** Machine behind a connection: its CID on vsock, its network on TCP; undefined on unix sockets. */
type Machine = number | string | undefined;

/**
 * Shares of the connections that machines hold of one listener. At its limit, the machine that holds most gives its oldest
 * connection up to one that holds fewer: whoever holds all of them shuts no other one out. A machine never takes a place
 * from itself, nor an equal one: its new connection is refused.
 *
 * A machine is a CID on vsock, an IPv4 address, or the first 64 bits of one of IPv6, which a single machine may have whole.
 * Peers on unix sockets count as one. Behind a proxy that hides addresses all callers are one machine.
 */
export class PeerShares {
  readonly #byMachine = new Map<Machine, Set<ConnectionStream>>();

  /**
   * Counts a connection until it closes.
   *
   * @param stream Stream of the connection
   * @param peer Its peer
   */
  add(stream: ConnectionStream, peer: VsockPeer | undefined): void {
    const machine = machineOf(peer, stream);
    const share = this.#byMachine.get(machine) ?? new Set();
    this.#byMachine.set(machine, share.add(stream));
    stream.once("close", () => this.#remove(stream, machine));
  }

  /**
   * Chooses the connection that gives way, and counts it no longer.
   *
   * @param peer Peer of the new connection
   * @param stream Stream of the new connection
   * @returns The connection to close, or none when no machine holds more than the new one's would
   */
  giveWay(peer: VsockPeer | undefined, stream: ConnectionStream): ConnectionStream | undefined {
    const own = this.#byMachine.get(machineOf(peer, stream))?.size ?? 0;
    let largest: readonly [Machine, ReadonlySet<ConnectionStream>] | undefined;
    for (const share of this.#byMachine) if (share[1].size > (largest?.[1].size ?? own + 1)) largest = share;
    if (largest === undefined) return undefined;
    const [oldest] = largest[1];
    if (oldest !== undefined) this.#remove(oldest, largest[0]);
    return oldest;
  }

  #remove(stream: ConnectionStream, machine: Machine): void {
    const share = this.#byMachine.get(machine);
    share?.delete(stream);
    if (share?.size === 0) this.#byMachine.delete(machine);
  }
}

function machineOf(peer: VsockPeer | undefined, { remoteAddress }: ConnectionStream): Machine {
  if (peer !== undefined || remoteAddress === undefined) return peer?.cid;
  const ipv4 = /^(?:::ffff:)?(\d+\.\d+\.\d+\.\d+)$/i.exec(remoteAddress)?.[1];
  return ipv4 ?? networkOf(remoteAddress);
}

/** Network of an IPv6 address: its first four groups of eight. */
function networkOf(address: string): string {
  const [before = "", after = ""] = address.split("::");
  const groups = (part: string) => part === "" ? [] : part.split(":");
  const [left, right] = [groups(before), groups(after)];
  const zeros = Array<string>(Math.max(0, 8 - left.length - right.length)).fill("0");
  return [...left, ...zeros, ...right].slice(0, 4).join(":");
}
