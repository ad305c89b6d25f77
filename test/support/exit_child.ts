/**
 * A process that decrypts, or is stuck in C while it tries to, and then ends the way it is told to. Prints
 * what became of the decrypt, and which of its exit handlers ran.
 *
 * @module
 */
import process from "node:process";
import { KmsClient } from "../../mod.ts";
import type { End, ExitTask } from "./exit_task.ts";
import { doublePath, SdkDouble } from "./sdk_double.ts";

const CODE = 7;

const { options, ciphertext, stalls, givesUp, closes, end } = JSON.parse(process.argv[2] ?? "") as ExitTask;

process.on("exit", (code) => console.log(`first exit handler ${code}`));

const client = await KmsClient.open(options);
const aborter = new AbortController();
const decrypted = decrypt();
if (stalls) await callsToStall(new SdkDouble(doublePath ?? ""));
if (stalls && givesUp) aborter.abort();
if (!stalls || givesUp) await decrypted;
if (closes) await client.close();

process.on("exit", (code) => {
  console.log(`last exit handler ${code}`);
  if (end === "throwing exit handler") throw new RangeError("nobody catches this");
});
leave(end);

async function decrypt(): Promise<void> {
  try {
    using plaintext = await client.decrypt({ ciphertext, signal: aborter.signal, timeoutMs: 60_000 });
    console.log(`decrypted ${plaintext.length}`);
  } catch (error) {
    console.log(`gave up: ${(error as Error).name}`);
  }
}

async function callsToStall(double: SdkDouble): Promise<void> {
  while (double.stalled() === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

function leave(how: End): void {
  switch (how) {
    case "natural":
      return;
    case "throwing exit handler":
    case "process.exit":
      return process.exit(CODE);
    case "Deno.exit":
      return (globalThis as unknown as { Deno: { exit(code: number): never } }).Deno.exit(CODE);
    case "caught error":
      process.on("uncaughtException", () => process.exit(CODE));
      setTimeout(throwError);
      return;
    case "uncaught error":
      setTimeout(throwError);
      return;
    case "unhandled rejection":
      void Promise.reject(new RangeError("nobody catches this"));
  }
}

function throwError(): never {
  throw new RangeError("nobody catches this");
}
