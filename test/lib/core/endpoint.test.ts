import assert from "node:assert/strict";
import { describe, test } from "#test";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { parseEndpoint } from "../../../lib/core/endpoint.ts";

const LONGEST_PATH = `/${"p".repeat(106)}`;

const GOOD: readonly [string, Endpoint][] = [
  ["vsock:3:8000", { transport: "vsock", cid: 3, port: 8000 }],
  ["vsock:4294967295:4294967295", { transport: "vsock", cid: 0xffff_ffff, port: 0xffff_ffff }],
  ["tcp:localhost:1", { transport: "tcp", host: "localhost", port: 1 }],
  ["tcp:127.0.0.1:65535", { transport: "tcp", host: "127.0.0.1", port: 65_535 }],
  ["tcp:[fe80::1]:80", { transport: "tcp", host: "fe80::1", port: 80 }],
  ["tcp:a[b]c:80", { transport: "tcp", host: "a[b]c", port: 80 }],
  ["unix:/run/vsock:1", { transport: "unix", path: "/run/vsock:1" }],
  [`unix:${LONGEST_PATH}`, { transport: "unix", path: LONGEST_PATH }],
];

const BAD = [
  "",
  "vsock:3",
  "vsock:4294967296:1",
  "vsock:1:4294967296",
  "vsock:1:2:3",
  "vsock:-1:2",
  "vsock:1:",
  " vsock:1:2",
  "tcp:localhost",
  "tcp:localhost:0",
  "tcp:localhost:65536",
  "tcp::80",
  "tcp:fe80::1:80",
  "tcp:two words:80",
  "unix:",
  `unix:${LONGEST_PATH}p`,
  "http://localhost:80",
  "xunix:/run/a",
  "xvsock:1:2",
  "xtcp:localhost:80",
  "tcp:localhost:80x",
];

describe("parseEndpoint()", () => {
  for (const [text, endpoint] of GOOD) {
    test(`reads ${text.slice(0, 40)}`, () => assert.deepEqual(parseEndpoint(text), endpoint));
  }

  for (const text of BAD) {
    test(`refuses "${text.slice(0, 40)}"`, () => assert.equal(parseEndpoint(text), undefined));
  }

  test("lets those who listen on TCP ask for any port", () => {
    assert.deepEqual(parseEndpoint("tcp:localhost:0", 0), { transport: "tcp", host: "localhost", port: 0 });
  });
});
