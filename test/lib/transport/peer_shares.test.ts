import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectFrom } from "node:net";
import { PassThrough } from "node:stream";
import { describe, test } from "#test";
import type { TcpEndpoint } from "../../../lib/core/endpoint.ts";
import type { ConnectionStream } from "../../../lib/transport/connection.ts";
import { ConnectionTable } from "../../../lib/transport/connection_table.ts";
import { connect, listen, openBridge } from "../../../lib/transport/mod.ts";
import { PeerShares } from "../../../lib/transport/peer_shares.ts";
import { until } from "../../support/until.ts";

const stream = (remoteAddress?: string) =>
  Object.assign(new PassThrough(), { bytesRead: 0, bytesWritten: 0, remoteAddress }) as ConnectionStream;
const ANY_PORT = { transport: "tcp", host: "127.0.0.1", port: 0 } as const;
const at = (cid: number) => ({ cid, port: 1024 });

/** Listener with ten places, and what became of the connections of two enclaves. */
function openWorld() {
  const shares = new PeerShares();
  const table = new ConnectionTable(10, 600_000, (peer, one) => shares.giveWay(peer, one));
  const open: Record<number, ConnectionStream[]> = { 16: [], 17: [], 18: [] };
  const connect = (cid: number) => {
    const one = stream();
    table.adopt(one, at(cid), () => {
      shares.add(one, at(cid));
      open[cid]?.push(one);
    });
    return one;
  };
  const count = (cid: number) => open[cid]?.filter(({ destroyed }) => !destroyed).length;
  return { table, connect, count, open, [Symbol.dispose]: () => table.destroyAll() };
}

describe("PeerShares", () => {
  test("an enclave that holds every place gives its oldest ones up to another, until both hold as many", async () => {
    using world = openWorld();
    for (let i = 0; i < 1000; i++) world.connect(16);
    assert.deepEqual([world.count(16), world.table.refusedCount], [10, 990]);
    const first = world.open[16]?.slice(0, 5);
    for (let i = 0; i < 20; i++) world.connect(17);
    assert.deepEqual([world.count(16), world.count(17)], [5, 5]);
    assert.ok(first?.every(({ destroyed }) => destroyed));
    for (let i = 0; i < 20; i++) {
      world.connect(18);
      world.connect(16);
    }
    await until(() => world.table.size === 10);
    const shares = [16, 17, 18].map(world.count);
    assert.ok(shares.every((share = 0) => share >= 3), shares.join());
  });

  test("one enclave alone, at the limit, keeps what it has, and its new connection is refused", () => {
    using world = openWorld();
    for (let i = 0; i < 10; i++) world.connect(16);
    assert.equal(world.connect(16).destroyed, true);
    assert.equal(world.count(16), 10);
    assert.equal(world.table.displacedCount, 0);
  });

  test("forgets connections that closed", async () => {
    const shares = new PeerShares();
    const streams = Array.from({ length: 5 }, () => stream());
    for (const one of streams) shares.add(one, at(16));
    await Promise.all(streams.map((one) => new Promise((resolve) => one.once("close", resolve).destroy())));
    assert.equal(shares.giveWay(at(17), stream()), undefined);
  });

  test("peers on unix sockets are one machine: nobody gives way", () => {
    const shares = new PeerShares();
    for (let i = 0; i < 5; i++) shares.add(stream(), undefined);
    assert.equal(shares.giveWay(undefined, stream()), undefined);
  });

  const MACHINES: readonly (readonly [address: string, same: string, other: string])[] = [
    ["192.0.2.1", "192.0.2.1", "192.0.2.2"],
    ["192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"],
    ["2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:2::1"],
    ["2001:db8::1", "2001:db8::2:1", "2001:db8:1::1"],
    ["::1", "::2", "1::"],
    ["fe80::1%eth0", "fe80::2%eth0", "fe81::1%eth0"],
  ];
  for (const [address, same, other] of MACHINES) {
    test(`${address} gives way to ${other}, and not to ${same}`, () => {
      const shares = new PeerShares();
      const held = Array.from({ length: 5 }, () => stream(address));
      for (const one of held) shares.add(one, undefined);
      assert.equal(shares.giveWay(undefined, stream(same)), undefined);
      assert.equal(shares.giveWay(undefined, stream(other)), held[0]);
    });
  }

  test("machines on TCP that hold all places of a bridge shut no other one out", async () => {
    await using target = await listen(ANY_PORT, {}, ({ stream }) => void stream.pipe(stream));
    await using bridge = await openBridge(ANY_PORT, target.endpoint, { maxConnections: 4 });
    const held = await Promise.all(Array.from({ length: 4 }, () => connect(bridge.endpoint)));
    for (const one of held) one.on("error", () => {}).resume();
    await until(() => bridge.counters.openCount === 4);
    const refused = await connect(bridge.endpoint);
    refused.on("error", () => {}).resume();
    await until(() => refused.closed);
    const { host, port } = bridge.endpoint as TcpEndpoint;
    const other = connectFrom({ host, port, localAddress: "127.0.0.2" });
    try {
      other.on("error", () => {});
      other.write("hello");
      const [echo] = await once(other, "data") as [Uint8Array];
      assert.equal(new TextDecoder().decode(echo), "hello");
      await until(() => held.filter(({ closed }) => closed).length === 1);
    } finally {
      other.destroy();
    }
  });
});
