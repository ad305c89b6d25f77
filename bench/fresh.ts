/**
 * One path in a fresh process: `node bench/fresh.ts [PATH]`. Reads {@link Setting} and {@link Parts} as one
 * line of JSON, prints `true` as soon as it has a plaintext (without a path: at once), then answers every
 * line, a number of calls, with what memory they took as {@link Footprint}.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { pathKind, type PathName } from "./paths/paths.ts";
import type { Parts, Setting } from "./setting.ts";

/** The memory of a process. */
export interface Footprint {
  /** All that is resident, in bytes. */
  readonly rssBytes: number;
  /** Heap of JavaScript that each call used, in bytes; negative when it was collected meanwhile. */
  readonly heapBytesPerCall: number;
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { setting, parts } = JSON.parse(String((await lines.next()).value)) as {
  readonly setting: Setting;
  readonly parts: Parts;
};
const [name] = process.argv.slice(2);
const path = name === undefined ? undefined : await pathKind(name as PathName).open(setting, parts, 0);
await decrypt(1);
console.log("true");

for (let line = await lines.next(); !line.done; line = await lines.next()) {
  console.log(JSON.stringify(await footprint(Number(line.value))));
}
process.exit(0);

async function decrypt(calls: number): Promise<void> {
  for (let call = 0; call < calls; call++) {
    const sample = setting.samples[call % setting.samples.length]!;
    if (await path?.decrypt(sample) === false) throw new Error("The benchmark measures a wrong plaintext");
  }
}

async function footprint(calls: number): Promise<Footprint> {
  const { gc } = globalThis as { gc?: () => void };
  gc?.();
  const before = process.memoryUsage().heapUsed;
  await decrypt(calls);
  const { rss, heapUsed } = process.memoryUsage();
  return { rssBytes: rss, heapBytesPerCall: (heapUsed - before) / calls };
}
