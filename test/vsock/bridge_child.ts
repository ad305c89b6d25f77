/**
 * Enclave's half of bridges in a network of its own, whose loopback interface is down at first. Prints a line when it is
 * ready, and then for each line that it reads, sent over the bridge out, the answer.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { openEgress } from "../../enclave/egress.ts";
import { openIngress } from "../../enclave/ingress.ts";
import { connect, listen } from "../../lib/transport/mod.ts";

const here = { transport: "tcp", host: "127.0.0.1" } as const;

await using _ingress = await openIngress({ backlog: 512, connectTimeoutMs: 60_000 });
await using _egress = await openEgress();
await using _server = await listen({ ...here, port: 50_051 }, { backlog: 512 }, ({ stream }) => {
  let slow = false;
  stream.once("data", (first) => slow = String(first).startsWith("slow"));
  stream.on(
    "data",
    (chunk) => slow || stream.write(chunk) || stream.pause().once("drain", () => stream.resume()),
  );
  // The answer to a slow question comes long after the end of the question.
  stream.once("end", () => slow ? setTimeout(() => stream.end("late answer"), 1500) : stream.end());
});
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const stream = await connect({ ...here, port: 8080 }, { timeoutMs: 60_000 });
  stream.end(line);
  let answer = "";
  for await (const chunk of stream) answer += chunk;
  console.log(answer);
}
