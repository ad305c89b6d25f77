import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "#test";
import { MAX_ANSWER_BYTES } from "../../../../lib/kms/https/kms_connection.ts";
import { ConnectionError, ProtocolError, TimeoutError } from "../../../../lib/core/errors.ts";
import { openTransport } from "../../../../lib/transport/open_transport.ts";
import { allClosed, connectionTo, echo, send, serveTcp, serveTls } from "./servers.ts";

describe("KmsConnection turns into a ConnectionError", () => {
  test("a port where nothing listens, and a path where nothing is", async () => {
    const server = await serveTcp(() => {});
    await server[Symbol.asyncDispose]();
    for (const endpoint of [server.endpoint, { transport: "unix", path: "/nonexistent/socket" }] as const) {
      using connection = connectionTo({ endpoint });
      await assert.rejects(send(connection), (error: unknown) => {
        assert.ok(error instanceof ConnectionError);
        assert.match(error.message, /^Cannot connect to KMS: .* does not answer \((ECONNREFUSED|ENOENT)\)$/);
        assert.match(error.hint, /listening|socket does not exist/);
        return true;
      });
    }
  });

  const beforeTls: readonly (readonly [string, (socket: Socket) => void])[] = [
    ["a reset", (socket) => void socket.resetAndDestroy()],
    ["an end", (socket) => void socket.end()],
    ["plain HTTP", (socket) => void socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")],
  ];
  for (const [name, act] of beforeTls) {
    test(`${name} in place of the TLS handshake`, async () => {
      await using server = await serveTcp(act);
      using connection = connectionTo(server);
      await assert.rejects(send(connection), (error: unknown) => {
        assert.ok(error instanceof ConnectionError);
        assert.match(error.message, /^Cannot connect to KMS: /);
        return true;
      });
      await allClosed(server);
    });
  }

  test("a connection that breaks before the answer, without a second try", async () => {
    await using server = await serveTls((request) => request.socket.destroy());
    using connection = connectionTo(server);
    await assert.rejects(send(connection), ConnectionError);
    assert.equal(server.sockets.length, 1);
  });

  test("a connection that breaks within the answer", async () => {
    await using server = await serveTls((request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("some");
      setTimeout(() => request.socket.destroy(), 20);
    });
    using connection = connectionTo(server);
    await assert.rejects(send(connection), {
      name: "ConnectionError",
      message: /^Cannot complete the request to KMS: the connection broke/,
    });
  });
});

describe("KmsConnection turns into a ProtocolError", () => {
  test("an answer of more than 64 KiB", async () => {
    let length = MAX_ANSWER_BYTES;
    await using server = await serveTls((_request, response) => response.end("x".repeat(length)));
    using connection = connectionTo(server);
    assert.equal((await send(connection)).length, MAX_ANSWER_BYTES);
    length++;
    await assert.rejects(send(connection), {
      name: "ProtocolError",
      message: "Cannot read KMS's answer: it is longer than 65536 bytes",
      hint: "Does the endpoint lead to KMS? Its answers are shorter",
    });
    await allClosed(server);
  });

  test("an answer that never ends", async () => {
    await using server = await serveTls((_request, response) => {
      const more = () => {
        while (response.write("x".repeat(4096)));
      };
      response.on("drain", more);
      more();
    });
    using connection = connectionTo(server);
    await assert.rejects(send(connection), ProtocolError);
    await allClosed(server);
  });

  test("an answer that is not HTTP", async () => {
    await using server = await serveTls((request) => request.socket.end("\0garbage\r\n\r\n"));
    using connection = connectionTo(server);
    await assert.rejects(send(connection), {
      name: "ProtocolError",
      message: /^Cannot read KMS's answer: it is not HTTP\/1.1 \(HPE_/,
    });
  });
});

describe("KmsConnection keeps the deadline", () => {
  const never = new Promise<never>(() => {});
  const silentTcp = () => serveTcp(() => {});
  const silentTls = () => serveTls(() => {});
  const silentBody = () =>
    serveTls((_request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("some");
    });
  for (
    const [phase, serve] of [["handshake", silentTcp], ["answer", silentTls], ["body", silentBody]] as const
  ) {
    test(`in the ${phase}`, async () => {
      await using server = await serve();
      using connection = connectionTo(server);
      await assert.rejects(send(connection, 60), TimeoutError);
      const reason = new Error("enough");
      await assert.rejects(
        send(connection, 5000, AbortSignal.any([AbortSignal.timeout(60), abortSoon(reason)])),
        reason,
      );
      assert.equal(server.sockets.length, 2);
      await allClosed(server);
    });
  }

  test("while it connects, and closes what opens too late", async () => {
    await using server = await serveTls(echo);
    using pending = connectionTo(server, { open: () => never });
    await assert.rejects(send(pending, 20), TimeoutError);

    let late: Socket | undefined;
    using slow = connectionTo(server, {
      open: async (deadline) => {
        late = (await openTransport(server.endpoint, deadline)) as Socket;
        await sleep(60);
        return late;
      },
    });
    await assert.rejects(send(slow, 30), TimeoutError);
    await sleep(60);
    assert.equal(late?.destroyed, true);
  });

  test("while it waits in line, and the line moves on", async () => {
    await using server = await serveTls((request, response) =>
      void setTimeout(() => echo(request, response), 100)
    );
    using connection = connectionTo(server, { maxConnections: 1 });
    const first = send(connection);
    const second = send(connection, 20);
    const third = send(connection);
    await assert.rejects(second, TimeoutError);
    assert.equal(JSON.parse(await first).length, 4);
    assert.equal(JSON.parse(await third).length, 4);
  });

  test("and sends nothing again once it has passed, over another connection that was kept", async () => {
    let count = 0;
    await using server = await serveTls((request, response) => {
      if (++count !== 3) echo(request, response);
    });
    using connection = connectionTo(server);
    await Promise.all([send(connection), send(connection)]);
    await assert.rejects(send(connection, 100), TimeoutError);
    await send(connection);
    assert.deepEqual([count, server.sockets.length], [4, 2]);
  });

  test("when it has passed before the start", async () => {
    await using server = await serveTls(echo);
    using connection = connectionTo(server);
    const reason = new Error("no");
    await assert.rejects(send(connection, 1000, AbortSignal.abort(reason)), reason);
    assert.equal(server.sockets.length, 0);
  });

  test("and works on after all of that", async () => {
    let isSilent = true;
    await using server = await serveTls((request, response) => {
      if (!isSilent) echo(request, response);
    });
    using connection = connectionTo(server, { maxConnections: 1 });
    for (let i = 0; i < 3; i++) await assert.rejects(send(connection, 30), TimeoutError);
    isSilent = false;
    assert.equal(JSON.parse(await send(connection)).length, 4);
  });
});

function abortSoon(reason: Error): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), 30);
  return controller.signal;
}
