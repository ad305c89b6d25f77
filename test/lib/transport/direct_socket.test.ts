import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, test } from "#test";
import { toDirect } from "#bridge-accept";
import { until } from "../../support/until.ts";

const onDeno = "Deno" in globalThis;

describe(`toDirect()${onDeno ? " (skipped: Deno's own connections need none)" : ""}`, () => {
  let server: Server;
  const accepted: Socket[] = [];

  beforeAll(async () => {
    server = createServer({ allowHalfOpen: true }, (socket) => void accepted.push(socket));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  afterAll(() => void server.close());

  /** Opens a connection: this side of it, and the other. */
  async function pair(): Promise<[Socket, Socket]> {
    const near = connect({ host: "127.0.0.1", port: (server.address() as AddressInfo).port });
    await once(near, "connect");
    const { localPort } = near;
    await until(() => accepted.some(({ remotePort }) => remotePort === localPort));
    return [near, accepted.find(({ remotePort }) => remotePort === localPort) as Socket];
  }

  test.skipIf(onDeno)("goes on with the connection of a socket that nobody has read", async () => {
    const [near, far] = await pair();
    const direct = toDirect(near);
    assert.notEqual(direct, near);
    assert.equal(near.destroyed, true);
    far.end("hello");
    const chunks = await direct.toArray();
    assert.equal(String(Buffer.concat(chunks)), "hello");
    assert.deepEqual([direct.bytesRead, typeof direct.passTo], [5, "function"]);
    direct.destroy();
  });

  test.skipIf(onDeno)(
    "passes on what came before somebody wanted it, and does not overwrite what waits",
    async () => {
      const [near, far] = await pair();
      const [to, receiver] = await pair();
      const direct = toDirect(near);
      far.write("first ");
      await once(direct, "readable");
      assert.equal(direct.passTo?.(to), true);
      const sent = Buffer.alloc(8 << 20, "0123456789abcdefghijklmnopqrstuvwxyz");
      far.end(sent);
      const received = Buffer.concat(await receiver.toArray());
      assert.equal(received.length, 6 + sent.length);
      assert.ok(received.equals(Buffer.concat([Buffer.from("first "), sent])));
      for (const socket of [direct, to, receiver, far]) socket.destroy();
    },
  );

  test.skipIf(onDeno)(
    "leaves alone what it cannot move: TLS, and sockets that were read, written, or are gone",
    async () => {
      const [near, far] = await pair();
      const tls = new TLSSocket(near);
      assert.equal(toDirect(tls), tls);
      tls.destroy();
      const [read, other] = await pair();
      other.write("hello");
      await once(read, "readable");
      assert.equal(toDirect(read), read);
      read.destroy();
      assert.equal(toDirect(read), read);
      for (const socket of [far, other]) socket.destroy();
    },
  );
});
