import assert from "node:assert/strict";
import type { TLSSocket } from "node:tls";
import { describe, test } from "#test";
import { Deadline } from "../../../../lib/core/deadline.ts";
import { CertificateError, ConnectionError, TimeoutError } from "../../../../lib/core/errors.ts";
import { ConnectingAhead } from "../../../../lib/kms/https/connecting_ahead.ts";
import { openTransport } from "../../../../lib/transport/open_transport.ts";
import { allClosed, closed, connectionTo, echo, send, sendAgain, serveTcp, serveTls } from "./servers.ts";

/** Resolves at the first call. */
function signalled(): { readonly seen: Promise<void>; signal(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { seen: promise, signal: resolve };
}

/** Lets everything happen that is due. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe("KmsConnection.connectAhead()", () => {
  test("makes the connection of the first request before it, and no other", async () => {
    const secured = signalled();
    await using server = await serveTls(echo, { onSecure: secured.signal });
    using connection = connectionTo(server);
    connection.connectAhead();
    await secured.seen;
    for (let i = 0; i < 3; i++) assert.equal(JSON.parse(await send(connection, 30_000)).length, 4);
    assert.equal(server.sockets.length, 1);
  });

  test("serves a request that comes while it is made", async () => {
    await using server = await serveTls(echo);
    using connection = connectionTo(server);
    connection.connectAhead();
    assert.equal(JSON.parse(await send(connection, 30_000)).length, 4);
    assert.equal(server.sockets.length, 1);
  });

  test("is not needed: a request whose connection was closed before makes its own", async () => {
    let count = 0;
    await using server = await serveTls(echo);
    using connection = connectionTo(server, {
      open: async (deadline) => {
        const stream = await openTransport(server.endpoint, deadline);
        if (count++ === 0) stream.destroy();
        return stream;
      },
    });
    connection.connectAhead();
    while (count === 0) await settled();
    assert.equal(JSON.parse(await sendAgain(connection)).length, 4);
    assert.equal(count, 2);
  });

  test("does not report its own failure: the request reports that of its own connection", async () => {
    const failed = signalled();
    let count = 0;
    const open = () => {
      failed.signal();
      return Promise.reject(new ConnectionError(`attempt ${++count}`, { hint: "" }));
    };
    using connection = connectionTo({ endpoint: { transport: "tcp", host: "127.0.0.1", port: 9 } }, { open });
    connection.connectAhead();
    await failed.seen;
    await settled();
    await assert.rejects(send(connection), { name: "ConnectionError", message: "attempt 2" });
  });

  test("reports the failure that comes while the request waits for it", async () => {
    await using server = await serveTls(echo, { kind: "expired" });
    using connection = connectionTo(server);
    connection.connectAhead();
    await assert.rejects(send(connection, 30_000), CertificateError);
    assert.equal(server.sockets.length, 1);
  });

  test("names the stage that a request whose time is up waited for", async () => {
    const begun = signalled();
    await using server = await serveTcp((socket) => socket.once("data", begun.signal));
    using connection = connectionTo(server);
    connection.connectAhead();
    await begun.seen;
    const isTls = (error: unknown) => error instanceof TimeoutError && error.stage === "tls";
    await assert.rejects(send(connection, 50), isTls);
    // Nobody else waits for it.
    await allClosed(server);
  });

  test("names the stage that begins while the request waits", async () => {
    await using server = await serveTcp(() => {});
    const opening = signalled();
    const hold = signalled();
    using connection = connectionTo(server, {
      open: async (deadline) => {
        opening.signal();
        await hold.seen;
        return await openTransport(server.endpoint, deadline);
      },
    });
    connection.connectAhead();
    await opening.seen;
    using deadline = new Deadline("test", 30_000);
    const body = { bytes: new Uint8Array(1), isSecret: false };
    const end = new AbortController();
    using aborted = new Deadline("test", 30_000, end.signal);
    const sending = assert.rejects(connection.request({}, body, aborted), /enough/);
    await settled();
    assert.equal(aborted.stage, "connect");
    hold.signal();
    while (aborted.stage === "connect") await deadline.sleep(1);
    assert.equal(aborted.stage, "tls");
    end.abort(new Error("enough"));
    await sending;
    await allClosed(server);
  });

  test("ends with the connections, whether it was made or not", async () => {
    const secured = signalled();
    await using made = await serveTls(echo, { onSecure: secured.signal });
    const begun = signalled();
    await using silent = await serveTcp((socket) => socket.once("data", begun.signal));
    for (const [server, when] of [[made, secured.seen], [silent, begun.seen]] as const) {
      const connection = connectionTo(server);
      connection.connectAhead();
      await when;
      connection[Symbol.dispose]();
      connection.connectAhead();
      await closed(server.sockets[0]);
      assert.equal(server.sockets.length, 1);
    }
  });

  test("ends a connection that is made while it is disposed", async () => {
    for (let turns = 0; turns < 8; turns++) {
      let destroyed = 0;
      const socket = { destroyed: false, destroy: () => destroyed++ } as unknown as TLSSocket;
      const { promise, resolve } = Promise.withResolvers<TLSSocket>();
      const ahead = new ConnectingAhead(() => promise);
      resolve(socket);
      for (let turn = 0; turn < turns; turn++) await undefined;
      ahead[Symbol.dispose]();
      await settled();
      assert.ok(destroyed >= 1, `after ${turns} turns`);
    }
  });
});
