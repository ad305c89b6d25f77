import assert from "node:assert/strict";
import { describe, test } from "#test";
import { TlsAgent } from "../../../../lib/kms/https/tls_agent.ts";
import { unlessAborted } from "../../../../lib/kms/https/tls_call.ts";
import { Deadline } from "../../../../lib/core/deadline.ts";
import { DisposedError } from "../../../../lib/core/errors.ts";
import { allClosed, connectionTo, echo, HOST, send, serveTls } from "./servers.ts";

const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

describe("unlessAborted()", () => {
  test("settles as the work does", async () => {
    const { signal } = new AbortController();
    assert.equal(await unlessAborted(Promise.resolve(7), signal), 7);
    await assert.rejects(unlessAborted(Promise.reject(new RangeError("no")), signal), /^RangeError: no$/);
  });

  test("rejects with the reason at once, and releases what comes too late", async () => {
    const reason = new RangeError("enough");
    for (const isLate of [false, true]) {
      const work = Promise.withResolvers<string>();
      const released: string[] = [];
      const aborter = new AbortController();
      if (isLate) aborter.abort(reason);
      const result = unlessAborted(work.promise, aborter.signal, (late) => released.push(late));
      aborter.abort(reason);
      await assert.rejects(result, (error) => error === reason);
      work.resolve("late");
      await settled();
      assert.deepEqual(released, ["late"]);
    }
  });

  test("releases nothing that came in time, and work that fails late is nobody's", async () => {
    const aborter = new AbortController();
    assert.equal(await unlessAborted(Promise.resolve(7), aborter.signal, () => assert.fail("released")), 7);
    const work = Promise.withResolvers<never>();
    const result = unlessAborted(work.promise, aborter.signal);
    aborter.abort("a text");
    await assert.rejects(result, (error) => error === "a text");
    work.reject(new Error("late"));
    await settled();
  });
});

describe("TlsAgent", () => {
  test("connects for a call only", () => {
    const open = () => Promise.reject(new Error("never"));
    const agent = new TlsAgent({ open, hostName: HOST, maxIdle: 1, maxIdleMs: 1000 });
    using deadline = new Deadline("test", 60_000);
    const call = { deadline, signal: deadline.signal };
    const expected = /^TypeError: Cannot connect: no call to connect for$/;
    assert.throws(() => agent.createConnection({}, () => {}), expected);
    assert.throws(() => agent.createConnection({ call } as never), expected);
    agent.destroy();
  });
});

describe("an answer's headers", () => {
  const DATE = "Thu, 05 Nov 2026 12:00:00 GMT";

  async function ask(headers: Record<string, string>) {
    await using server = await serveTls((_request, response) => {
      response.sendDate = false;
      response.writeHead(200, headers).end("{}");
    });
    using connection = connectionTo(server);
    using deadline = new Deadline("test", 60_000);
    const body = { bytes: new Uint8Array(1), isSecret: false };
    const { requestId, dateMs, status } = await connection.request({ host: HOST }, body, deadline);
    return { requestId, dateMs, status };
  }

  test("give the request's id and KMS's time, if they are there", async () => {
    assert.deepEqual(await ask({ "x-amzn-requestid": "id-1", date: DATE }), {
      requestId: "id-1",
      dateMs: Date.UTC(2026, 10, 5, 12),
      status: 200,
    });
    assert.deepEqual(await ask({}), { requestId: undefined, dateMs: undefined, status: 200 });
  });

  test("give no time when it is not in HTTP's form", async () => {
    for (const date of [`x${DATE}`, `${DATE}x`, "2026-11-05T12:00:00Z", "Thu, 41 Nov 2026 12:00:00 GMT"]) {
      assert.equal((await ask({ date })).dateMs, undefined, date);
    }
  });
});

describe("a connection that was idle", () => {
  test("and breaks within the next answer is not asked again", async () => {
    let requests = 0;
    await using server = await serveTls((request, response) => {
      if (++requests === 1) return echo(request, response);
      response.writeHead(200, { "content-length": "100" }).write("the beginning");
      setTimeout(() => request.socket.destroy(), 20);
    });
    using connection = connectionTo(server);
    await send(connection);
    await assert.rejects(send(connection), { code: "ERR_CONNECTION" });
    assert.equal(requests, 2);
    assert.equal(server.sockets.length, 1);
  });

  test("is closed on dispose, and the calls after it say who is disposed", async () => {
    await using server = await serveTls(echo);
    const connection = connectionTo(server);
    await send(connection);
    connection[Symbol.dispose]();
    await allClosed(server);
    await assert.rejects(
      send(connection),
      (error) => error instanceof DisposedError && /KmsConnection/.test(error.message),
    );
  });

  test("calls that run on dispose say who is disposed", async () => {
    await using server = await serveTls(() => {});
    const connection = connectionTo(server);
    const call = send(connection);
    while (server.sockets.length === 0) await settled();
    connection[Symbol.dispose]();
    await assert.rejects(
      call,
      (error) => error instanceof DisposedError && /KmsConnection/.test(error.message),
    );
  });
});
