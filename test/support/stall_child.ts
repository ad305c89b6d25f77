/**
 * A process whose decrypt stalls in C, is given up, and returns after all, so that its memory can be searched
 * before and afterwards. It is told its secrets in disguise, on the first line of its input; a second line
 * lets C return.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { KmsClient } from "../../mod.ts";
import type { MemorySetup, MemoryTask } from "./memory_messages.ts";
import { revealBytes } from "./disguise.ts";
import { doublePath, SdkDouble } from "./sdk_double.ts";

/** Task of the process: the ciphertext, and the C function that stalls. */
export type StallTask = MemorySetup & Omit<MemoryTask, "operation" | "rounds" | "keep"> & {
  readonly stall: string;
};

const lines = createInterface(process.stdin)[Symbol.asyncIterator]();
const task = JSON.parse((await lines.next()).value ?? "") as StallTask;
const { region, endpoint, trustedCertificates, library, ciphertext, encryptionContext, accessKeyId } = task;

const double = new SdkDouble(doublePath ?? "");
const secretAccessKey = revealBytes(task.secretAccessKey);
const sessionToken = revealBytes(task.sessionToken);
const aborter = new AbortController();

const client = await KmsClient.open({
  region,
  endpoint,
  trustedCertificates,
  credentials: { accessKeyId, secretAccessKey, sessionToken },
  engine: "sdk-client",
  library,
});
secretAccessKey.fill(0);
sessionToken.fill(0);

double.stall(task.stall);
const decrypted = client.decrypt({ ciphertext, encryptionContext, signal: aborter.signal });
while (double.stalled() === 0) await turn();
aborter.abort();
const outcome = await decrypted.then(() => "decrypted", (error: Error) => error.name);
await client.close();
report(outcome);

await lines.next();
double.releaseStalls();
while (double.live() > 0) await turn();
report("returned");
setInterval(() => {}, 1000);

function report(state: string): void {
  process.stdout.write(`${JSON.stringify({ state, violations: double.violations() })}\n`);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}
