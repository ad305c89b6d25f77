/** serve() and createFetch() over AF_VSOCK: the peer's CID, streams, limits, callers that leave, and a graceful end. */
import assert from "node:assert/strict";
import { ANY_CID, connect, createFetch, serve } from "../../../lib/transport/mod.ts";
import { until } from "../../support/until.ts";
import { check } from "../check.ts";
import { GUEST_CID, LOOPBACK_CID, PARENT } from "../guest_addresses.ts";

const REQUESTS = 200;
/** Milliseconds for what takes some in a guest that is emulated beside other work. */
const PATIENCE_MS = 120_000;
const { port } = PARENT;

const gone: unknown[] = [];
const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();

const server = await serve(async (request, { remoteCid, remotePort }) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/echo") return new Response(request.body);
  if (pathname === "/gone") {
    request.signal.addEventListener("abort", () => gone.push(request.signal.reason));
    return new Response(new ReadableStream({ pull: () => new Promise(() => {}) }));
  }
  if (pathname === "/slow") await mayAnswer;
  return Response.json({ remoteCid, hasPort: (remotePort ?? 0) >= 1024, said: await request.text() });
}, { port, backlog: 512, headersTimeoutMs: PATIENCE_MS });

const fetch = createFetch({ cid: GUEST_CID, port }, { connectTimeoutMs: PATIENCE_MS });

await check("listens on every CID, and tells the peer's", async () => {
  assert.deepEqual(server.endpoint, { transport: "vsock", cid: ANY_CID, port });
  const response = await fetch("http://enclave/", { method: "POST", body: "hello" });
  assert.deepEqual(await response.json(), { remoteCid: LOOPBACK_CID, hasPort: true, said: "hello" });
});

await check("streams a megabyte each way, and refuses what is larger than it may be", async () => {
  const body = new Blob([new Uint8Array(1_000_000).fill(7)]);
  const echoed = await fetch(
    "http://enclave/echo",
    { method: "POST", body: body.stream(), duplex: "half" } as RequestInit,
  );
  assert.equal((await echoed.bytes()).filter((byte) => byte === 7).length, body.size);
  const large = new Uint8Array((1 << 20) + 1);
  assert.equal((await fetch("http://enclave/", { method: "POST", body: large })).status, 413);
});

await check(`${REQUESTS} requests at once: none is lost`, async () => {
  const answers = await Promise.all(Array.from({ length: REQUESTS }, async (_, index) => {
    const response = await fetch("http://enclave/", { method: "POST", body: `${index}` });
    return (await response.json() as { said: string }).said;
  }));
  assert.deepEqual(answers, answers.map((_, index) => `${index}`));
});

await check("a caller that goes away aborts the signal", async () => {
  const caller = new AbortController();
  await fetch("http://enclave/gone", { signal: caller.signal });
  caller.abort();
  await until(() => gone.length === 1);
});

await check("a client that never finishes its headers is sent away", async () => {
  const options = { port: port + 1, headersTimeoutMs: 500 };
  await using _ = await serve(() => new Response(), options);
  const stream = await connect({ transport: "vsock", cid: GUEST_CID, port: options.port });
  stream.on("error", () => {});
  stream.write("GET / HTTP/1.1\r\n");
  await new Promise((resolve) => stream.resume().once("close", resolve));
});

await check("close() lets the running request finish", async () => {
  const running = fetch("http://enclave/slow", { method: "POST", body: "late" });
  await until(() => server.connectionCount > 0);
  const closed = server.close({ graceMs: 60_000 });
  answer();
  assert.equal((await (await running).json() as { said: string }).said, "late");
  await closed;
  await assert.rejects(fetch("http://enclave/"), { code: "ERR_CONNECTION" });
});
