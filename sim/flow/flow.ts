/**
 * `npm run demo:flow`: tells the way from an instance's role to a secret in an enclave, on Node.js and on Deno.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { STDERR, tryWriteAll } from "../../lib/core/write_all.ts";
import { print } from "../print.ts";

const STORY = fileURLToPath(new URL("./story.ts", import.meta.url));

const RUNTIMES = {
  "Node.js": ["node", STORY],
  Deno: ["deno", "run", "--quiet", "--no-prompt", "--no-check", "--allow-all", "--unstable-vsock", STORY],
} as const;

const started = performance.now();
await print("enclave-kms: from an instance's role to a secret in an enclave, here on one machine.\n");
await print(
  "AWS is simulated: the metadata service, S3, KMS and the enclave's NSM. The parent and the enclave are",
);
await print("processes of their own, as they are on an instance; unix sockets stand for vsock.");
for (const [name, [program, ...args]] of Object.entries(RUNTIMES)) {
  await print(`\n== On ${name} ${"=".repeat(70 - name.length)}`);
  const child = spawn(program, args, { stdio: "inherit" });
  const [code] = await Promise.race([once(child, "close"), once(child, "error")]) as [number | Error];
  if (code === 0) continue;
  tryWriteAll(STDERR, `The flow on ${name} ended with ${code instanceof Error ? code.message : code}\n`);
  process.exitCode = 1;
}
await print(`
All done in ${((performance.now() - started) / 1000).toFixed(1)} s. What to try next:
  sim/flow/application.ts                   the application: what it pins, and what it does with the secret
  sim/flow/world.ts                         what the operator does, and the parent's configuration
  docs/running-the-parent.md                the same on an instance`);
