/**
 * Bridges from TCP to a TCP port of 127.0.0.1, which is its argument. Prints its own port, and then its counters for each
 * line that it reads. With the argument `starved`, it takes every descriptor left to it for two seconds first.
 */
import { closeSync, openSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { openBridge, type TcpEndpoint } from "../../lib/transport/mod.ts";

const STARVED_MS = 2000;

const host = "127.0.0.1";
const target = { transport: "tcp", host, port: Number(process.argv[2]) } as const;
await using bridge = await openBridge({ transport: "tcp", host, port: 0 }, target, {
  connectTimeoutMs: 5000,
});
if (process.argv[3] === "starved") await starve();
console.log((bridge.endpoint as TcpEndpoint).port);
for await (const _ of createInterface({ input: process.stdin })) console.log(JSON.stringify(bridge.counters));

async function starve(): Promise<void> {
  const taken: number[] = [];
  try {
    for (;;) taken.push(openSync("/dev/null", "r"));
  } catch {
    await sleep(STARVED_MS);
  }
  for (const descriptor of taken) closeSync(descriptor);
}
