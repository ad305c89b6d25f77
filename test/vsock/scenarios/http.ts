/** HTTP over AF_VSOCK: keep-alive, bursts, bad clients, and a graceful end. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { Duplex } from "node:stream";
import { Deadline } from "../../../lib/core/deadline.ts";
import { connectVsock } from "../../../lib/transport/connect_vsock.ts";
import { peerOf, serveHttp } from "../../../lib/transport/serve_http.ts";
import { HttpClient } from "../../lib/transport/http_client.ts";
import { check } from "../check.ts";
import { GUEST_CID, LOOPBACK_CID, PARENT } from "../guest_addresses.ts";

const KEPT_ALIVE = 64;
const REQUESTS_EACH = 10;
const BURST = 400;
const BODY = "x".repeat(2000);

const server = createServer((request, response) => {
  let length = 0;
  request.on("data", (chunk: Uint8Array) => length += chunk.length);
  request.on("end", () => response.end(JSON.stringify({ length, cid: peerOf(request.socket)?.cid })));
});
const http = await serveHttp(server, PARENT, { backlog: 512 });

const ANSWER = { status: 200, body: JSON.stringify({ length: BODY.length, cid: LOOPBACK_CID }) };

await check(`${KEPT_ALIVE} connections with ${REQUESTS_EACH} requests each, beside bad clients`, async () => {
  const [silent, slow, malformed] = [await connect(), await connect(), await connect()];
  slow.write("POST / HTTP/1.1\r\n");
  malformed.write("\x16\x03\x01\r\n\r\n");
  await Promise.all(Array.from({ length: KEPT_ALIVE }, async () => {
    using client = new HttpClient(await connect());
    for (let i = 0; i < REQUESTS_EACH; i++) assert.deepEqual(await client.post("/", BODY), ANSWER);
  }));
  for (const stream of [silent, slow, malformed]) stream.destroy();
});

await check(`${BURST} connections at once: no request is lost`, async () => {
  await Promise.all(Array.from({ length: BURST }, async () => {
    using client = new HttpClient(await connect());
    assert.deepEqual(await client.post("/", BODY), ANSWER);
  }));
});

await check("a client that never finishes its headers is sent away", async () => {
  const impatient = createServer({ headersTimeout: 500, connectionsCheckingInterval: 100 }, () => {});
  const port = PARENT.port + 1;
  await using _ = await serveHttp(impatient, { ...PARENT, port });
  const slow = await connect(port);
  slow.write("POST / HTTP/1.1\r\n");
  await once(slow.resume(), "close");
});

await check("close() lets idle keep-alive connections go", async () => {
  using client = new HttpClient(await connect());
  assert.deepEqual(await client.post("/", BODY), ANSWER);
  await http.close();
  assert.equal(http.listener.connectionCount, 0);
});

async function connect(port = PARENT.port): Promise<Duplex> {
  using deadline = new Deadline("connect", 30_000);
  const stream = await connectVsock({ ...PARENT, cid: GUEST_CID, port }, deadline);
  stream.on("error", () => {});
  return stream;
}
