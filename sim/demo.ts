/**
 * `npm run demo`: tells the story of one decrypt, on Node.js and on Deno, in a simulated enclave.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { STDERR, tryWriteAll } from "../lib/core/write_all.ts";
import { compileInstrument, supervise } from "./instruments.ts";
import { print } from "./print.ts";

const STORY = fileURLToPath(new URL("./demo_story.ts", import.meta.url));

const RUNTIMES = {
  "Node.js": ["node", STORY],
  Deno: ["deno", "run", "--quiet", "--allow-all", STORY],
} as const;

const started = performance.now();
await print("enclave-kms: decrypt with AWS KMS from inside a Nitro Enclave, here a simulated one.\n");

const supervisor = await compileInstrument("nsm-supervisor");
const library = process.env["ENCLAVE_KMS_SDK_LIBRARY"] ?? await compileInstrument("sdk-double");
await print(describeInstruments());

const sockets = mkdtempSync(join(tmpdir(), "enclave-kms-demo-"));
process.on("exit", () => rmSync(sockets, { recursive: true, force: true }));
for (const [name, command] of Object.entries(RUNTIMES)) await tell(name, command);

await print(`
All done in ${((performance.now() - started) / 1000).toFixed(1)} s. What to try next:
  npm test                                  every test, on Node.js and on Deno
  ENCLAVE_KMS_SDK_LIBRARY=<path> npm run demo   the same with your own build of aws-nitro-enclaves-sdk-c
  sim/demo_story.ts                         is what ran: change the message, the policy or the context
  README.md                                 the smallest program for an enclave, and what is promised`);

function describeInstruments(): string {
  if (supervisor === undefined) {
    return "There is no C compiler here: the engines of the C SDK are left out, and the NSM is a JavaScript object.";
  }
  const sdk = process.env["ENCLAVE_KMS_SDK_LIBRARY"] === undefined
    ? "For the C SDK stands a double of ours with the same C interface."
    : `The C SDK is ${library}.`;
  return `/dev/nsm is answered by a software NSM, for unmodified programs. ${sdk}`;
}

async function tell(name: string, command: readonly string[]): Promise<void> {
  await print(`\n== On ${name} ${"=".repeat(70 - name.length)}`);
  const [program = "", ...args] = supervisor === undefined ? command : supervise([...command], sockets);
  const child = spawn(program, args, {
    stdio: "inherit",
    env: { ...process.env, ENCLAVE_KMS_DEMO_LIBRARY: supervisor === undefined ? "" : library ?? "" },
  });
  const code = await new Promise((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", resolve);
  });
  if (code === 0) return;
  tryWriteAll(STDERR, `The demo on ${name} ended with ${code}\n`);
  process.exitCode = 1;
}
