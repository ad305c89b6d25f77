import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterAll, beforeAll, describe, test } from "#test";
import { parseRequestHead } from "../../../enclave/http/request_head.ts";
import { urlOf } from "../../../enclave/http/request_url.ts";

const head = (lines: string, first = "GET /a HTTP/1.1") => `${first}\r\n${lines}\r\n`;
const HOST = "host: a\r\n";

/** Heads that are taken, with their framing. */
const TAKEN: readonly (readonly [text: string, framing: number | "chunked", isLast?: boolean])[] = [
  [head(HOST), 0],
  [head("Host:a\r\n"), 0],
  [head("host: \r\n"), 0],
  [head(`${HOST}x: \t a b \t\r\ny:\r\n`), 0],
  [head(`${HOST}x: \xe4\xff\r\n`), 0],
  [head(`${HOST}content-length: 5\r\n`, "POST /a HTTP/1.1"), 5],
  [head(`${HOST}Content-Length: 007\r\n`, "POST /a HTTP/1.1"), 7],
  [head(`${HOST}Transfer-Encoding: Chunked\r\n`, "PUT /a?b=c HTTP/1.1"), "chunked"],
  [head(`${HOST}connection: close\r\n`), 0, true],
  [head(`${HOST}connection: keep-alive, Close\r\n`), 0, true],
  [head(`${HOST}connection: te\r\nconnection: close\r\n`), 0, true],
  [head(`${HOST}connection: close-not\r\n`), 0],
  [head(`${HOST}connection: keep-alive\r\n`), 0],
  [head("", "GET /a HTTP/1.0"), 0, true],
  [head("content-length: 3\r\n", "POST /a HTTP/1.0"), 3, true],
  [head("h: v\r\n".repeat(99) + HOST), 0],
];

/** Heads that are refused: nobody needs them, or two readers could understand them in two ways. */
const REFUSED: readonly string[] = [
  "",
  "\r\n\r\n",
  head(""),
  head(HOST + HOST),
  head(HOST, "get /a HTTP/1.1"),
  head(HOST, "GET  /a HTTP/1.1"),
  head(HOST, "GET /a  HTTP/1.1"),
  head(HOST, "GET /a b HTTP/1.1"),
  head(HOST, "GET /\xe4 HTTP/1.1"),
  head(HOST, "GET /a HTTP/2.0"),
  head(HOST, "GET /a HTTP/1.2"),
  head(HOST, "GET /a http/1.1"),
  head(HOST, "GET /a"),
  head(HOST, " GET /a HTTP/1.1"),
  head(`${HOST}x : 1\r\n`),
  head(`${HOST} x: 1\r\n`),
  head(`${HOST}x: 1\r\n 2\r\n`),
  head(`${HOST}x\r\n`),
  head(`${HOST}: 1\r\n`),
  head(`${HOST}x: 1\n`),
  head(`${HOST}x: 1\ny: 2\r\n`),
  head(`${HOST}x: 1\ry: 2\r\n`),
  head(`${HOST}x: \0\r\n`),
  head(`${HOST}x: \x7f\r\n`),
  head(`${HOST}\xe4: 1\r\n`),
  head(`${HOST}content-length: 1\r\ncontent-length: 1\r\n`),
  head(`${HOST}content-length: 1, 1\r\n`),
  head(`${HOST}content-length: +1\r\n`),
  head(`${HOST}content-length: -1\r\n`),
  head(`${HOST}content-length: 0x1\r\n`),
  head(`${HOST}content-length: 1 1\r\n`),
  head(`${HOST}content-length:\r\n`),
  head(`${HOST}content-length: 9999999999999999\r\n`),
  head(`${HOST}content-length: 1\r\ntransfer-encoding: chunked\r\n`),
  head(`${HOST}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n`),
  head(`${HOST}transfer-encoding: gzip, chunked\r\n`),
  head(`${HOST}transfer-encoding: identity\r\n`),
  head(`${HOST}transfer-encoding: xchunked\r\n`),
  head(`${HOST}transfer-encoding: chunked\x0b\r\n`),
  head("transfer-encoding: chunked\r\n", "POST /a HTTP/1.0"),
  head(`${HOST}expect: tea\r\n`),
  head("h: v\r\n".repeat(100) + HOST),
];

describe("parseRequestHead()", () => {
  test("reads method, target, header lines, framing and what becomes of the connection", () => {
    for (const [text, framing, isLast = false] of TAKEN) {
      const parsed = parseRequestHead(text);
      assert.ok(parsed !== undefined, JSON.stringify(text));
      assert.deepEqual([parsed.framing, parsed.isLast], [framing, isLast], JSON.stringify(text));
    }
    const parsed = parseRequestHead(head(`HOST: A\r\nX-One: \t 1 2 \t\r\nx-two:\r\n`, "POST /a?b HTTP/1.1"));
    assert.deepEqual(parsed, {
      method: "POST",
      target: "/a?b",
      isOld: false,
      lines: ["host", "A", "x-one", "1 2", "x-two", ""],
      framing: 0,
      isLast: false,
      expectsContinue: false,
    });
  });

  test("refuses what could be understood in two ways", () => {
    for (const text of REFUSED) assert.equal(parseRequestHead(text), undefined, JSON.stringify(text));
  });

  test("tells that the client waits, only where there is a body and interim answers", () => {
    const expects = (lines: string, version = "1.1") =>
      parseRequestHead(head(`${HOST}expect: 100-Continue\r\n${lines}`, `POST / HTTP/${version}`))
        ?.expectsContinue;
    assert.equal(expects("content-length: 1\r\n"), true);
    assert.equal(expects("transfer-encoding: chunked\r\n"), true);
    assert.equal(expects(""), false);
    assert.equal(expects("content-length: 1\r\n", "1.0"), false);
  });

  test("takes time in proportion to the head, whatever is in it", () => {
    // With backtracking, or a look at each space for each space, this would be minutes.
    const spaces = " ".repeat(1 << 20);
    assert.equal(parseRequestHead(head(`${HOST}x:${spaces}\0\r\n`)), undefined);
    assert.equal(parseRequestHead(head(`${HOST}x:${spaces}a${spaces}\r\n`))?.lines[3], "a");
    assert.equal(parseRequestHead(head(`${HOST}connection:${",".repeat(1 << 20)}\r\n`))?.isLast, false);
  });
});

describe("a head that is taken", () => {
  const seen: string[] = [];
  const server = createServer({ keepAliveTimeout: 0 }, async (request, response) => {
    let length = 0;
    for await (const chunk of request) length += (chunk as Uint8Array).length;
    seen.push(
      `${request.method} ${request.url} ${length} ${JSON.stringify(request.rawHeaders).toLowerCase()}`,
    );
    response.end();
  });
  beforeAll(async () => {
    await once(server.listen(0, "127.0.0.1"), "listening");
  });
  afterAll(() => void server.close());

  test("is the same one to node:http", async () => {
    for (const [text, framing] of TAKEN) {
      const parsed = parseRequestHead(text);
      assert.ok(parsed !== undefined);
      const length = framing === "chunked" ? 3 : framing;
      const body = framing === "chunked" ? "3\r\nabc\r\n0\r\n\r\n" : "x".repeat(framing);
      const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
      socket.write(text + body, "latin1");
      await once(socket, "data");
      socket.destroy();
      const lines = JSON.stringify(parsed.lines).toLowerCase();
      assert.equal(seen.at(-1), `${parsed.method} ${parsed.target} ${length} ${lines}`, JSON.stringify(text));
    }
  });
});

describe("urlOf()", () => {
  const urlFor = (target: string, method = "GET") => {
    const parsed = parseRequestHead(head(HOST, `${method} ${target} HTTP/1.1`));
    return parsed && urlOf(parsed);
  };

  test("gives every request the same host, and the URL that URL's parser makes of the target", () => {
    for (
      const target of [
        ..."/ /a /a/b?c=d&e /a? /?a=/../b /a/../b /a/. /%2e%2e/a /a%20b // //b/c /a;b=c /a'b /a?b='c /a\"b /{a} /a@b:80"
          .split(" "),
        "/?a\\b",
      ]
    ) {
      assert.equal(urlFor(target), new URL(`http://enclave${target}`).href, target);
      assert.equal(new URL(urlFor(target) ?? "").host, "enclave", target);
    }
  });

  test("refuses targets that are no path, fragments, backslashes in one, and methods that fetch() does not know", () => {
    for (const target of ["*", "a", "http://a/", "a:80", "/a#b", "/a?b#c", "/a\\b", "/\\evil"]) {
      assert.equal(urlFor(target), undefined, target);
    }
    for (const method of ["CONNECT", "TRACE", "TRACK"]) assert.equal(urlFor("/", method), undefined, method);
  });
});
