/**
 * Bridges into and out of an enclave over AF_VSOCK: the enclave's half in a process with a network of its own, whose
 * loopback interface is down as an enclave's is.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { type Bridge, connect, listen, openBridge, type TcpEndpoint } from "../../../lib/transport/mod.ts";
import { EgressBridge } from "../../../parent/egress_bridge.ts";
import { until } from "../../support/until.ts";
import { check } from "../check.ts";
import { GUEST_CID } from "../guest_addresses.ts";

const CHILD = fileURLToPath(new URL("../bridge_child.ts", import.meta.url));
const RUN = "Deno" in globalThis
  ? ["run", "--quiet", "--no-prompt", "--no-check", "--allow-all", "--unstable-vsock"]
  : [];

const ANY_PORT = { transport: "tcp", host: "127.0.0.1", port: 0 } as const;
const BURST = 200;

/** Starts the enclave's half. */
async function startEnclave() {
  const args = ["--net", process.execPath, ...RUN, CHILD];
  const child = spawn("unshare", args, { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => (await lines.next()).value as string | undefined;
  assert.equal(await next(), "ready");
  return {
    async askOut(question: string): Promise<string | undefined> {
      child.stdin.write(`${question}\n`);
      return await next();
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

const failures: unknown[] = [];

// IngressBridge refuses CID 3, the parent's, which this guest has.
await using ingress: Bridge = await openBridge(
  ANY_PORT,
  { transport: "vsock", cid: GUEST_CID, port: 50_051 },
  // Everything is emulated on one processor.
  { backlog: 512, connectTimeoutMs: 60_000, onFailure: (error) => failures.push(error) },
);

{
  await using enclave = await startEnclave();

  await check(
    "the loopback interface was down, and a megabyte each way comes through both halves",
    async () => {
      const sent = Buffer.from(
        Array.from({ length: 1 << 20 }, (_, index) => (index * 181 + (index >> 8)) & 0xff),
      );
      const stream = await connect(ingress.endpoint, { timeoutMs: 60_000 });
      const [received] = await Promise.all([readAll(stream), stream.end(sent)]);
      assert.ok(received.equals(sent));
      return `${ingress.counters.bytesToTarget} bytes there, ${ingress.counters.bytesFromTarget} back`;
    },
  );

  await check("an answer 1.5 s after the request's end arrives", async () => {
    const stream = await connect(ingress.endpoint, { timeoutMs: 60_000 });
    stream.allowHalfOpen = true;
    stream.end("slow question");
    assert.equal(String(await readAll(stream)), "late answer");
  });

  await check(`${BURST} connections at once: none is lost`, async () => {
    const answers = await Promise.all(Array.from({ length: BURST }, async (_, index) => {
      const stream = await connect(ingress.endpoint, { timeoutMs: 60_000 });
      stream.end(`call ${index}`);
      return String(await readAll(stream));
    }));
    const lost = answers.filter((answer, index) => answer !== `call ${index}`);
    assert.equal(lost.length, 0, `${lost.length} lost; ${failures.length} not reached: ${failures[0]}`);
  });

  await check("the enclave reaches a service of the parent", async () => {
    await using service = await listen(ANY_PORT, {}, ({ stream }) => void stream.pipe(stream));
    const { port } = service.endpoint as TcpEndpoint;
    await using egress = await EgressBridge.open({ targetPort: port });
    assert.equal(await enclave.askOut("a question"), "a question");
    assert.equal(egress.counters.bytesToTarget, 10);
  });
}

await check("without the enclave's half callers are closed, and it may come back", async () => {
  const stream = await connect(ingress.endpoint, { timeoutMs: 60_000 });
  stream.on("error", () => {});
  stream.resume();
  await until(() => stream.closed || stream.readableEnded);
  stream.destroy();
  await using _ = await startEnclave();
  const again = await connect(ingress.endpoint, { timeoutMs: 60_000 });
  again.end("hello");
  assert.equal(String(await readAll(again)), "hello");
  assert.equal(ingress.counters.failedCount, 1);
});

async function readAll(stream: Duplex): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  stream.on("data", (chunk) => chunks.push(chunk as Uint8Array));
  await once(stream, "end");
  return Buffer.concat(chunks);
}
