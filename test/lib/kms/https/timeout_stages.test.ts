import assert from "node:assert/strict";
import { describe, test } from "#test";
import { TimeoutError, type TimeoutStage } from "../../../../lib/core/errors.ts";
import { connectionTo, echo, send, serveTcp, serveTls } from "./servers.ts";

/** More than a busy machine takes for what comes before. */
const SHORT_MS = 1500;

async function assertTimeout(sending: Promise<unknown>, stage: TimeoutStage): Promise<void> {
  await assert.rejects(sending, (error) => {
    assert.ok(error instanceof TimeoutError, String(error));
    assert.equal(error.stage, stage, error.message);
    return true;
  });
}

describe("a request whose time is up names what it waited for:", () => {
  test("a connection to the endpoint", async () => {
    await using server = await serveTls(echo);
    using connection = connectionTo(server, { open: () => new Promise<never>(() => {}) });
    await assertTimeout(send(connection, SHORT_MS), "connect");
  });

  test("the TLS handshake", async () => {
    await using server = await serveTcp(() => {});
    using connection = connectionTo(server);
    await assertTimeout(send(connection, SHORT_MS), "tls");
  });

  test("the answer, over a new connection and over one that was kept", async () => {
    let count = 0;
    await using server = await serveTls((request, response) => {
      if (count++ === 1) echo(request, response);
    });
    using connection = connectionTo(server);
    await assertTimeout(send(connection, SHORT_MS), "kms");
    await send(connection);
    await assertTimeout(send(connection, SHORT_MS), "kms");
    assert.equal(count, 3);
  });

  test("the end of the answer", async () => {
    await using server = await serveTls((_request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("{");
    });
    using connection = connectionTo(server);
    await assertTimeout(send(connection, SHORT_MS), "body");
  });

  test("one of the connections to be free", async () => {
    let arrived = () => {};
    const isTaken = new Promise<void>((resolve) => (arrived = resolve));
    await using server = await serveTls(() => arrived());
    using connection = connectionTo(server, { maxConnections: 1 });
    const first = assert.rejects(send(connection, 60_000), { name: "DisposedError" });
    await isTaken;
    await assertTimeout(send(connection, SHORT_MS), "free-connection");
    connection[Symbol.dispose]();
    await first;
  });
});
