import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import { Deadline } from "../../../lib/core/deadline.ts";
import { ConnectionError } from "../../../lib/core/errors.ts";
import { choosePort } from "../../../sim/free_port.ts";
import { openTransport } from "../../../lib/transport/open_transport.ts";

const LISTENS =
  "Is a proxy to KMS, or KMS itself, listening there? From an enclave, KMS is reached over vsock CID 3, port 8000";
const NO_SOCKET = "The socket does not exist: is the path right, and is the proxy running?";

describe("openTransport()", () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-transport-"));
  const path = join(folder, "kms.sock");
  const servers: Server[] = [];
  const sockets: Socket[] = [];
  let port: number;

  beforeAll(async () => {
    for (const address of [{ path }, { host: "127.0.0.1", port: 0 }]) {
      const server = createServer((
        socket,
      ) => (sockets.push(socket), socket.on("error", () => {}).pipe(socket)));
      servers.push(server);
      await new Promise<void>((resolve) => server.listen(address, resolve));
    }
    port = (servers[1]!.address() as { port: number }).port;
  });
  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    for (const server of servers) await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true });
  });

  const endpoints = () => [
    { transport: "unix", path } as const,
    { transport: "tcp", host: "127.0.0.1", port } as const,
  ];

  test("connects to a unix socket, and over TCP", async () => {
    for (const endpoint of endpoints()) {
      using deadline = new Deadline("test", 10_000);
      const stream = await openTransport(endpoint, deadline);
      const echo = new Promise<string>((resolve) => stream.once("data", (data) => resolve(String(data))));
      stream.write("hello");
      assert.equal(await echo, "hello");
      // An error between two owners of the stream does not end the process.
      stream.destroy(new Error("broken"));
      await new Promise((resolve) => stream.once("close", resolve));
    }
  });

  test("says where nobody answers, and what the system said", async () => {
    const absent = join(folder, "absent.sock");
    const freePort = await choosePort();
    const cases = [
      [{ transport: "unix", path: absent }, "the unix socket does not answer (ENOENT)", NO_SOCKET],
      [
        { transport: "tcp", host: "127.0.0.1", port: freePort },
        `127.0.0.1:${freePort} does not answer (ECONNREFUSED)`,
        LISTENS,
      ],
    ] as const;
    for (const [endpoint, what, hint] of cases) {
      using deadline = new Deadline("test", 10_000);
      await assert.rejects(openTransport(endpoint, deadline), (error: unknown) => {
        assert.ok(error instanceof ConnectionError);
        assert.equal(error.message, `Cannot connect to KMS: ${what}`);
        assert.equal(error.hint, hint);
        assert.ok(error.cause instanceof Error);
        return true;
      });
    }
  });

  test("tries nothing once the deadline has passed", async () => {
    const before = sockets.length;
    for (const endpoint of endpoints()) {
      const reason = new Error("enough");
      using deadline = new Deadline("test", 10_000, AbortSignal.abort(reason));
      await assert.rejects(openTransport(endpoint, deadline), reason);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(sockets.length, before);
  });

  test("reports an abort while it connects, not the connection", async () => {
    const reason = new Error("enough");
    const aborter = new AbortController();
    using deadline = new Deadline("test", 10_000, aborter.signal);
    const before = sockets.length;
    const opening = openTransport(endpoints()[1]!, deadline);
    aborter.abort(reason);
    await assert.rejects(opening, reason);
    // Accepted in order: where this one has come, the other has come and must go, or never will come.
    using later = new Deadline("test", 10_000);
    const stream = await openTransport(endpoints()[1]!, later);
    const echo = new Promise((resolve) => stream.once("data", resolve));
    stream.write("hello");
    await echo;
    stream.destroy();
    for (const socket of sockets.slice(before)) {
      if (!socket.destroyed) await new Promise((resolve) => socket.once("close", resolve));
    }
  });
});
