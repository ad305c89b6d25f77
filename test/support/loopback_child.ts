/** Raises the loopback interface twice, and then echoes over it. Prints what came of each step. */
import type { EnclaveKmsError } from "../../lib/core/errors.ts";
import { connect, listen } from "../../lib/transport/mod.ts";
import { raiseLoopback } from "../../lib/transport/loopback.ts";

const endpoint = { transport: "tcp", host: "127.0.0.1", port: 0 } as const;

async function echo(): Promise<string> {
  await using listener = await listen(endpoint, {}, ({ stream }) => void stream.pipe(stream));
  const stream = await connect(listener.endpoint, { timeoutMs: 60_000 });
  stream.end("echo");
  const [chunk] = await stream.take(1).toArray();
  return String(chunk);
}

const results: unknown[] = [];
for (const step of [echo, raiseLoopback, raiseLoopback, echo]) {
  try {
    results.push(await step());
  } catch (error) {
    const { name, message, hint } = error as EnclaveKmsError;
    results.push({ name, message, hint });
  }
}
console.log(JSON.stringify(results));
