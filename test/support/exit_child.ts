/**
 * A process that decrypts, or is stuck in C while it tries to, and then ends the way it is told to.
 *
 * @module
 */
import process from "node:process";
import { KmsClient } from "../../mod.ts";
import type { ExitTask } from "./exit_process.ts";

const { options, ciphertext, timeoutMs, closes, end } = JSON.parse(process.argv[2] ?? "") as ExitTask;

process.on("exit", (code) => console.log(`early exit handler ${code}`));

const client = await KmsClient.open(options);
try {
  using plaintext = await client.decrypt({ ciphertext, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
  console.log(`decrypted ${plaintext.length}`);
} catch (error) {
  console.log((error as { code?: string }).code ?? String(error));
}
if (closes) await client.close();

process.on("exit", (code) => console.log(`late exit handler ${code}`));

switch (end) {
  case "natural":
    break;
  case "process.exit":
    process.exit(7);
    break;
  case "Deno.exit":
    (globalThis as unknown as { Deno: { exit(code: number): never } }).Deno.exit(7);
    break;
  case "uncaught":
    setTimeout(() => {
      throw new RangeError("nobody catches this");
    });
    break;
  case "rejection":
    void Promise.reject(new RangeError("nobody catches this"));
    break;
  case "caught":
    process.on("uncaughtException", () => setTimeout(() => process.exit(7), 10));
    setTimeout(() => {
      throw new RangeError("somebody catches this");
    });
}
