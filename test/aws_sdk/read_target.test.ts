import assert from "node:assert/strict";
import { describe, test } from "#test";
import { readTarget } from "../../aws_sdk/read_target.ts";

const REQUEST = {
  method: "GET",
  protocol: "https:",
  hostname: "s3.eu-central-1.amazonaws.com",
  path: "/a",
  headers: {},
};

type Change = Partial<Parameters<typeof readTarget>[0]>;

const read = (change: Change = {}, isRelayed = true) => readTarget({ ...REQUEST, ...change }, isRelayed);

describe("readTarget()", () => {
  test("reads a request as it is sent", () => {
    assert.deepEqual({ ...read(), headers: { ...read().headers } }, {
      hostName: REQUEST.hostname,
      method: "GET",
      path: "/a",
      headers: { host: REQUEST.hostname },
      length: undefined,
    });
  });

  for (
    const [query, path] of [
      [{}, "/a"],
      [{ b: "1", a: "2" }, "/a?a=2&b=1"],
      [{ a: ["2", "1"] }, "/a?a=2&a=1"],
      [{ acl: null, b: "" }, "/a?acl&b="],
      [{ "a b": "!'()*~/ä" }, "/a?a%20b=%21%27%28%29%2A~%2F%C3%A4"],
    ] as const
  ) {
    test(`${JSON.stringify(query)} becomes ${path}`, () => assert.equal(read({ query }).path, path));
  }

  test("an empty path is the root", () => {
    assert.equal(read({ path: "" }).path, "/");
    assert.equal(read({ path: "", query: { a: "b" } }).path, "/?a=b");
  });

  test("leaves out what belongs to the connection, in either case, and nothing else", () => {
    const names = [
      "Connection",
      "expect",
      "Keep-Alive",
      "te",
      "TRAILER",
      "upgrade",
      "proxy-a",
      "Proxy-Authorization",
    ];
    const kept = { "connection-id": "1", "x-te": "2", "X-Proxy-A": "3", "a-upgrade": "4" };
    const headers = { ...Object.fromEntries(names.map((name) => [name, "x"])), ...kept };
    assert.deepEqual({ ...read({ headers }).headers }, {
      host: REQUEST.hostname,
      "connection-id": "1",
      "x-te": "2",
      "x-proxy-a": "3",
      "a-upgrade": "4",
    });
  });

  test("reads the length that a header says", () => {
    assert.equal(read({ headers: { "Content-Length": "5" } }).length, 5);
    assert.equal(read({ headers: { "transfer-encoding": "chunked" } }).length, undefined);
  });

  test("a relay leads to port 443 only, a proxy to any", () => {
    assert.equal(read({ port: 443 }).hostName, REQUEST.hostname);
    assert.throws(() => read({ port: 8443 }), { name: "TypeError", message: /relay leads to port 443/ });
    assert.equal(read({ port: 8443 }, false).hostName, REQUEST.hostname);
  });

  for (
    const [change, message] of [
      [{ protocol: "http:" }, /^Cannot send the request: it is not https:/],
      [{ hostname: "127.0.0.1" }, /DNS name/],
      [{ username: "" } as Change, /user name/],
      [{ password: "a" } as Change, /user name/],
      [{ method: "get" }, /method is malformed/],
      [{ method: "" }, /method is malformed/],
      [{ method: "A".repeat(17) }, /method is malformed/],
      [{ method: "GET " }, /method is malformed/],
      [{ path: "a/b" }, /path is malformed/],
      [{ path: "a" }, /path is malformed/],
      [{ path: "/ä" }, /path is malformed/],
      [{ path: "/a b" }, /path is malformed/],
      [{ headers: { "": "a" } }, /header is malformed/],
      [{ headers: { "a b": "a" } }, /header is malformed/],
      [{ headers: { a: "\0" } }, /header is malformed/],
      [{ headers: { a: "\r" } }, /header is malformed/],
      [{ headers: { a: "\n" } }, /header is malformed/],
      [{ headers: { "content-length": "1e3" } }, /content-length is not a number/],
      [{ headers: { "content-length": "1", "transfer-encoding": "chunked" } }, /beside transfer-encoding/],
      [{ headers: { "transfer-encoding": "gzip, chunked" } }, /transfer-encoding is not chunked/],
    ] as const
  ) {
    test(`refuses ${JSON.stringify(change)}`, () => {
      assert.throws(() => read(change), { name: "TypeError", message });
    });
  }
});
