import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { afterAll, beforeAll, describe, test } from "#test";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { Fixture, PLAINTEXT, until } from "../../server/fixture.ts";
import { dial, exchange, Serving } from "../../server/serving.ts";

const get = (path: string, extra = "") => `GET ${path} HTTP/1.1\r\nhost: a\r\n${extra}\r\n`;
const post = (path: string, body: string, extra = "connection: close\r\n") =>
  `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n` +
  `content-length: ${Buffer.byteLength(body)}\r\n${extra}\r\n${body}`;

/** More than a busy machine takes to send a request. */
const PATIENCE_MS = 3000;

describe("HttpListener", () => {
  let fixture: Fixture;
  let serving: Serving;
  let endpoint: Endpoint;

  beforeAll(async () => {
    fixture = await Fixture.start();
    await fixture.setCredentials();
    serving = new Serving(fixture, { headersMs: PATIENCE_MS, bodyMs: PATIENCE_MS, idleMs: PATIENCE_MS });
    endpoint = await serving.listen("http");
  });
  afterAll(async () => {
    await serving[Symbol.asyncDispose]();
    await fixture[Symbol.asyncDispose]();
  });

  test("answers over a stream, with the caller's CID in the log", async () => {
    const answer = await exchange(endpoint, post("/v1/decrypt", JSON.stringify(fixture.decryptBody)));
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.match(answer, new RegExp(`\\{"plaintext":"${Buffer.from(PLAINTEXT).toString("base64")}"\\}$`));
    assert.equal(fixture.lastLine["cid"], 3);
  });

  test("keeps the connection, and answers pipelined requests in order", async () => {
    const answer = await exchange(
      endpoint,
      get("/healthz") + get("/nowhere") + get("/readyz", "connection: close\r\n"),
    );
    assert.deepEqual([...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status), [
      "200",
      "404",
      "200",
    ]);
  });

  test("bytes that are no HTTP get a problem, a line in the log, and the end", async () => {
    const cases: [string, number][] = [
      ["garbage\r\n\r\n", 400],
      ["GET / HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n", 400],
      [get("/healthz", `x: ${"a".repeat(20_000)}\r\n`), 431],
      [
        "POST /v1/decrypt HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        400,
      ],
      ["GET http://elsewhere/healthz HTTP/1.1\r\nhost: a\r\n\r\n", 400],
      ["TRACE / HTTP/1.1\r\nhost: a\r\n\r\n", 400],
    ];
    for (const [text, status] of cases) {
      const before = fixture.logged.length;
      const answer = await exchange(endpoint, text);
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), text.slice(0, 60));
      assert.match(answer, /application\/problem\+json/);
      assert.ok(fixture.logged.length > before, "logged");
      assert.equal(fixture.lastLine["answer"], status);
    }
  });

  test("a body over 64 KiB is refused, declared or not", async () => {
    const large = JSON.stringify({ ciphertext: "A".repeat(70_000) });
    assert.match(await exchange(endpoint, post("/v1/decrypt", large)), /^HTTP\/1\.1 413 /);
    const chunked = "POST /v1/decrypt HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n" +
      `transfer-encoding: chunked\r\n\r\n${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`;
    assert.match(await exchange(endpoint, chunked), /^HTTP\/1\.1 413 /);
    const declared = "POST /v1/decrypt HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n\r\n";
    assert.doesNotMatch(await exchange(endpoint, declared), /^HTTP\/1\.1 2/);
  });

  test("a compressed body is refused by the name of its header, and one that is not is taken", async () => {
    const body = JSON.stringify(fixture.decryptBody);
    for (const encoding of ["gzip", "br", "GZIP, identity", "HUSH"]) {
      const extra = `content-encoding: ${encoding}\r\nconnection: close\r\n`;
      const answer = await exchange(endpoint, post("/v1/decrypt", body, extra));
      assert.match(answer, /^HTTP\/1\.1 415 /);
      assert.match(answer, /\r\naccept-encoding: identity\r\n/i);
      assert.match(
        answer,
        /"code":"ERR_MEDIA_TYPE".*"errors":\[\{"path":"content-encoding","expected":"none: /,
      );
      assert.doesNotMatch(answer, /HUSH/);
    }
    const extra = "content-encoding: identity\r\nconnection: close\r\n";
    assert.match(await exchange(endpoint, post("/v1/decrypt", body, extra)), /^HTTP\/1\.1 200 /);
  });

  test("slow, silent and idle clients are cut off", async () => {
    const slow = [
      "",
      "GET / HTT",
      "GET / HTTP/1.1\r\nhost: a\r\nx: ",
      post("/v1/decrypt", "{}").slice(0, -1),
    ];
    await Promise.all(slow.map((text) => exchange(endpoint, text)));
    assert.match(await exchange(endpoint, get("/healthz")), /^HTTP\/1\.1 200 /);
  });

  test("a client that goes away in the middle harms nobody", async () => {
    for (const cut of [1, 30, 100, 150]) {
      const socket = dial(endpoint);
      socket.write(post("/v1/decrypt", JSON.stringify(fixture.decryptBody)).slice(0, cut));
      await new Promise((resolve) => setTimeout(resolve, 5));
      socket.destroy();
    }
    assert.match(await exchange(endpoint, get("/healthz", "connection: close\r\n")), /^HTTP\/1\.1 200 /);
  });

  test("closing finishes what runs and ends what is idle", async () => {
    const closing = new Serving(fixture);
    const place = await closing.listen("http");
    const idle = exchange(place, "");
    const before = fixture.simulator.kms.requestCount;
    const answer = exchange(place, post("/v1/decrypt", JSON.stringify(fixture.decryptBody), ""));
    await until(() => fixture.simulator.kms.requestCount > before);
    await closing.http.close(2000);
    assert.match(await answer, /^HTTP\/1\.1 200 /);
    assert.equal(await idle, "");
    await closing[Symbol.asyncDispose]();
  });
});
