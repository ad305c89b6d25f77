/**
 * A process that decrypts many times in a row with one client, and measures itself before, on the way and
 * afterwards. The simulator is in another process, so that its growth does not count.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { KmsClient, type KmsClientOptions } from "../../mod.ts";
import { doublePath, SdkDouble } from "./sdk_double.ts";

/** What the process is told to do. */
export interface EnduranceTask {
  readonly options: KmsClientOptions;
  /** Base64. */
  readonly ciphertext: string;
  /** How many decrypts come before the first measurement. */
  readonly warmUp: number;
  /** How many come after it. */
  readonly rounds: number;
  /** How many measurements follow the first. */
  readonly samples: number;
}

/** What a process holds. */
export interface Footprint {
  readonly residentKiB: number;
  readonly threads: number;
  readonly descriptors: number;
}

const { options, ciphertext, warmUp, rounds, samples } = JSON.parse(process.argv[2] ?? "") as EnduranceTask;

await using client = await KmsClient.open(options);
await decrypt(warmUp);
const footprints = [measure()];
for (let sample = 0; sample < samples; sample++) {
  await decrypt(rounds / samples);
  footprints.push(measure());
}
console.log(JSON.stringify(footprints));

async function decrypt(times: number): Promise<void> {
  for (let round = 0; round < times; round++) {
    using plaintext = await client.decrypt({ ciphertext });
    if (plaintext.bytes[0] !== 0x2a) throw new Error("This is not the plaintext");
  }
}

function measure(): Footprint {
  (globalThis as { gc?: () => void }).gc?.();
  // Its journal grows with every call.
  if (doublePath !== undefined && options.library === doublePath) new SdkDouble(doublePath).reset();
  return {
    residentKiB: Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]),
    threads: readdirSync("/proc/self/task").length,
    descriptors: readdirSync("/proc/self/fd").length,
  };
}
