/**
 * Speed of vsock beside TCP: the same work through the same code, over the guest's two loopbacks. Kernel and
 * program are emulated alike here, so the kernel's part weighs far more than on a real machine.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { Duplex } from "node:stream";
import { Deadline } from "../../../lib/core/deadline.ts";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { openTransport } from "../../../lib/transport/open_transport.ts";
import { listen } from "../../../lib/transport/listen.ts";
import { serveHttp } from "../../../lib/transport/serve_http.ts";
import { HttpClient } from "../../lib/transport/http_client.ts";
import { check } from "../check.ts";
import { GUEST_CID, PARENT } from "../guest_addresses.ts";

const TCP: Endpoint = { transport: "tcp", host: "127.0.0.1", port: 8001 };
const ROUNDS = 5;
const ATTEMPTS = 3;

const CLIENTS = 64;
const REQUESTS_EACH = 5;
const BODY = "x".repeat(1500);

const MEGABYTES = 4;
const STREAMS = 4;
const CHUNK = new Uint8Array(65_536);

/** Least ratio on Node. */
const LEAST_RATIO = 0.9;

await check("HTTP requests, vsock against TCP", () => compare("requests/s", requests, LEAST_RATIO));
await check("bulk, vsock against TCP", () => compare("MB/s", bulk, 0));

async function compare(unit: string, measure: (endpoint: Endpoint) => Promise<number>, least: number) {
  for (let attempt = 1;; attempt++) {
    const { ratio, text } = await compareOnce(measure);
    const result = `${text} ${unit}, ratio ${ratio.toFixed(2)}, attempt ${attempt}`;
    if (ratio >= least) return result;
    // What else this machine does may have hit one more than the other.
    assert.ok(attempt < ATTEMPTS, result);
  }
}

/** Measures in pairs, in turns: a disturbance of the machine slows both. */
async function compareOnce(measure: (endpoint: Endpoint) => Promise<number>) {
  const rounds: { vsock: number; tcp: number }[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const vsockFirst = round % 2 === 0 ? await measure(PARENT) : undefined;
    const tcp = await measure(TCP);
    const vsock = vsockFirst ?? await measure(PARENT);
    if (round > 0) rounds.push({ vsock, tcp }); // the first one warms up
  }
  const [vsock, tcp] = [median(rounds.map((round) => round.vsock)), median(rounds.map((round) => round.tcp))];
  const ratio = median(rounds.map((round) => round.vsock / round.tcp));
  return { ratio, text: `${vsock.toFixed(0)} against ${tcp.toFixed(0)}` };
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

/** Sends small requests over connections that stay. */
async function requests(endpoint: Endpoint): Promise<number> {
  const server = createServer((request, response) => {
    request.resume().on("end", () => response.end(BODY));
  });
  await using http = await serveHttp(server, endpoint);
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, async () => new HttpClient(await connect(http.listener.endpoint))),
  );
  const started = performance.now();
  await Promise.all(clients.map(async (client) => {
    for (let i = 0; i < REQUESTS_EACH; i++) await client.post("/", BODY);
  }));
  const elapsedMs = performance.now() - started;
  for (const client of clients) client[Symbol.dispose]();
  return CLIENTS * REQUESTS_EACH / elapsedMs * 1000;
}

/** Sends, and waits until all has arrived at the other end. */
async function bulk(endpoint: Endpoint): Promise<number> {
  const expected = MEGABYTES << 20;
  const { promise: arrived, resolve } = Promise.withResolvers<void>();
  let received = 0;
  await using listener = await listen(endpoint, {}, ({ stream }) => {
    stream.on("data", (chunk: Uint8Array) => (received += chunk.length) === expected && resolve());
  });
  const clients = await Promise.all(Array.from({ length: STREAMS }, () => connect(listener.endpoint)));
  const started = performance.now();
  await Promise.all(clients.map(async (client) => {
    for (let sent = 0; sent < expected / STREAMS; sent += CHUNK.length) {
      if (!client.write(CHUNK)) await once(client, "drain");
    }
  }));
  await arrived;
  const elapsedMs = performance.now() - started;
  for (const client of clients) client.destroy();
  return MEGABYTES / elapsedMs * 1000;
}

async function connect(endpoint: Endpoint): Promise<Duplex> {
  using deadline = new Deadline("connect", 60_000);
  const local = endpoint.transport === "vsock" ? { ...endpoint, cid: GUEST_CID } : endpoint;
  const client = await openTransport(local, deadline);
  client.on("error", () => {});
  return client;
}
