import assert from "node:assert/strict";
import { describe, test } from "#test";
import { EnclaveListener, type ListenerHandler } from "../../enclave/mod.ts";
import { ConfigError } from "../../enclave/settings.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { createFetch } from "../../lib/transport/mod.ts";

const ENVIRONMENT = { ENV_SETUP: "SIM", ENCLAVE_PORT: "0" };

function start(handler: ListenerHandler, lines: string[] = []): Promise<EnclaveListener> {
  const logger = createLogger("debug", (line) => lines.push(line));
  return EnclaveListener.start(handler, { environment: ENVIRONMENT, logger });
}

describe("EnclaveListener", () => {
  test("hands a request to its handler, and sends the answer", async () => {
    await using listener = await start(({ method, path, headers, body, caller, gone }) => {
      assert.equal(gone.aborted, false);
      const text = new TextDecoder().decode(body);
      const said = [method, path, headers.get("x-one"), text, caller.type].join(" ");
      return { status: 201, headers: { "x-two": "2" }, body: said };
    });
    const fetch = createFetch(listener.endpoint);
    const headers = { "x-one": "1", "x-cid": "3" };
    const answer = await fetch("http://enclave/a/b?c=d", { method: "PUT", headers, body: "hello" });
    assert.deepEqual([answer.status, answer.headers.get("x-two")], [201, "2"]);
    assert.equal(await answer.text(), "PUT /a/b?c=d 1 hello Caller");
  });

  test("takes bytes, a Response and nothing for an answer, and wipes the bytes", async () => {
    const bytes = new TextEncoder().encode("secret");
    await using listener = await start(({ path }) => {
      if (path === "/bytes") return { body: bytes };
      return path === "/response" ? Promise.resolve(new Response("own", { status: 404 })) : {};
    });
    const fetch = createFetch(listener.endpoint);
    assert.equal(await (await fetch("http://enclave/bytes")).text(), "secret");
    const own = await fetch("http://enclave/response");
    assert.deepEqual([own.status, await own.text()], [404, "own"]);
    const nothing = await fetch("http://enclave/nothing");
    assert.deepEqual([nothing.status, await nothing.text()], [200, ""]);
    assert.deepEqual(bytes, new Uint8Array(6));
  });

  test("answers 500 without a word for a handler that throws, and goes on", async () => {
    const lines: string[] = [];
    await using listener = await start(({ path }) => {
      if (path === "/fails") throw new Error("HUSH");
      return { body: "fine" };
    }, lines);
    const fetch = createFetch(listener.endpoint);
    const failed = await fetch("http://enclave/fails");
    const text = await failed.text();
    assert.deepEqual([failed.status, JSON.parse(text).code], [500, "ERR_INTERNAL"]);
    assert.doesNotMatch(text + lines.join(""), /HUSH/);
    assert.equal(await (await fetch("http://enclave/")).text(), "fine");
  });

  test("refuses a body that is too large before the handler runs", async () => {
    let calls = 0;
    await using listener = await start(() => {
      calls++;
      return {};
    });
    const body = "a".repeat(65_537);
    const answer = await createFetch(listener.endpoint)("http://enclave/", { method: "POST", body });
    assert.deepEqual([answer.status, calls], [413, 0]);
  });

  test("finishes what runs when it closes, and takes no more", async () => {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const listener = await start(async () => {
      begin();
      await released;
      return { body: "late" };
    });
    const fetch = createFetch(listener.endpoint);
    const answer = fetch("http://enclave/");
    await begun;
    const closed = listener.close();
    release();
    assert.equal(await (await answer).text(), "late");
    await closed;
    await listener.close();
    await assert.rejects(fetch("http://enclave/"), { code: "ERR_CONNECTION" });
  });

  test("refuses what is no handler, and settings that are wrong", async () => {
    await assert.rejects(EnclaveListener.start("no" as never), TypeError);
    await assert.rejects(EnclaveListener.start(() => ({}), { port: 1 } as never), TypeError);
    const wrong = { environment: { ENV_SETUP: "SIM", ENCLAVE_PORT: "HUSH" } };
    await assert.rejects(EnclaveListener.start(() => ({}), wrong), ConfigError);
  });
});
