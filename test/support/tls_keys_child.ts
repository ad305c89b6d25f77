/**
 * A process that makes the key of a TLS channel, serves connections with it and drops it, so that its memory can be
 * searched for the private key, which it tells in disguise. Telling it may leave one copy in the runtime.
 *
 * @module
 */
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { connect } from "node:tls";
import { makeTlsKeys, TlsChannel } from "../../enclave/channels/tls_channel.ts";
import { HttpListener } from "../../enclave/http/http_listener.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { Metrics } from "../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../enclave/telemetry/refusal_log.ts";
import { listen } from "../../lib/transport/listen.ts";
import { disguiseBytes } from "./disguise.ts";
import { garbageCollector } from "./garbage.ts";

/** Range of the private number in PKCS #8. */
const SCALAR = [36, 68] as const;
const CONNECTIONS = 20;

const collect = garbageCollector();
let channel: TlsChannel | undefined;

for await (const line of createInterface(process.stdin)) {
  process.stdout.write(
    `${JSON.stringify(line === "make" ? await make() : await drop(line === "collect"))}\n`,
  );
}

async function make(): Promise<number[]> {
  const pair = makeTlsKeys();
  const pkcs8 = pair.privateKey.export({ format: "der", type: "pkcs8" });
  const scalar = disguiseBytes(pkcs8.subarray(...SCALAR));
  pkcs8.fill(0);
  channel = new TlsChannel({ keys: { bootId: "0".repeat(32), add: () => {} } }, pair);
  await serve(channel);
  return scalar;
}

async function serve(channel: TlsChannel): Promise<void> {
  const logger = createLogger("silent");
  const log = { logger, metrics: new Metrics(), refusals: new RefusalLog({ logger }) };
  const timeouts = { headersMs: 10_000, bodyMs: 10_000, answerMs: 10_000, idleMs: 10_000 };
  const http = new HttpListener({ ...log, timeouts, fetch: () => new Response("hello") });
  const handler = channel.handler(http, log);
  const endpoint = { transport: "tcp", host: "127.0.0.1", port: 0 } as const;
  await using listener = await listen(endpoint, {}, ({ stream }) => handler.accept(stream, 3));
  const { port } = listener.endpoint as { readonly port: number };
  for (let index = 0; index < CONNECTIONS; index++) {
    const ca = channel.certificatePem;
    const socket = connect({ host: "127.0.0.1", port, ca, servername: "enclave.internal" });
    await once(socket, "secureConnect");
    socket.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    socket.resume();
    await once(socket, "close");
  }
  await handler.close(1000);
}

async function drop(withCollection: boolean): Promise<number[]> {
  channel?.[Symbol.dispose]();
  channel = undefined;
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (withCollection) collect();
  }
  return [];
}
