/**
 * A process that decrypts once and then waits, so that its memory can be searched. It is told everything in
 * disguise: what it must not keep never stands in its arguments or on its input as it is.
 *
 * @module
 */
import process from "node:process";
import { type EngineName, KmsClient } from "../../mod.ts";
import { type MemoryTask, revealBytes } from "./memory_scan.ts";

const input: Uint8Array[] = [];
for await (const chunk of process.stdin) {
  input.push(chunk as Uint8Array);
  if ((chunk as Uint8Array).includes(10)) break;
}
const task = JSON.parse(Buffer.concat(input).toString()) as MemoryTask;
const { region, endpoint, trustedCertificates, library, ciphertext, encryptionContext, keep } = task;

const secretAccessKey = revealBytes(task.secretAccessKey);
const sessionToken = revealBytes(task.sessionToken);
const credentials = { accessKeyId: task.accessKeyId, secretAccessKey, sessionToken };
const engine = task.engine as EngineName;

const kept: unknown[] = [];
let outcome: string;
try {
  await using client = await KmsClient.open({
    region,
    endpoint,
    trustedCertificates,
    credentials,
    engine,
    library: engine === "direct" ? undefined : library,
    maxAttempts: 1,
  });
  const plaintext = await client.decrypt({ ciphertext, encryptionContext });
  outcome = `decrypted ${plaintext.length}`;
  if (keep) kept.push(plaintext, secretAccessKey.slice());
  else plaintext[Symbol.dispose]();
} catch (error) {
  outcome = (error as { code?: string }).code ?? String(error);
}
secretAccessKey.fill(0);
sessionToken.fill(0);
process.stdout.write(`${JSON.stringify({ pid: process.pid, outcome })}\n`);
setInterval(() => kept.length, 1000);
