/**
 * Count of the functions that a warm decrypt calls, as V8 counts them, which is the same on every machine:
 * `node bench/call_counts.ts PATH`. Reads {@link Setting} and {@link Parts} as one line of JSON, prints
 * `true`, then answers every line, a number of decrypts, with {@link CallCounts}. Node only: Deno's inspector
 * has no counts.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { Session } from "node:inspector/promises";
import process from "node:process";
import { createInterface } from "node:readline";
import { pathKind, type PathName } from "./paths/paths.ts";
import type { Parts, Setting } from "./setting.ts";

/** Calls of each decrypt. */
export interface CallCounts {
  /** Functions of this library, in JavaScript. */
  readonly functions: number;
  /** Calls into C through the loader. */
  readonly foreign: number;
  /** System calls that read or write, by the kernel's count. */
  readonly reads: number;
  readonly writes: number;
}

/** Function that the loader calls on the result of every call into C, and on nothing else. */
const RESULT_OF_C = "fromC";
const FOREIGN = "/ffi/values.ts";
const OURS = /\/(?:lib|ffi)\/[^?]*\.ts$/;
const WARM_UP = 50;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { setting, parts } = JSON.parse(String((await lines.next()).value)) as {
  readonly setting: Setting;
  readonly parts: Parts;
};
const path = await pathKind(process.argv[2] as PathName).open(setting, parts, 0);
const inspector = new Session();
inspector.connect();
await inspector.post("Profiler.enable");
await decrypt(WARM_UP);
console.log("true");

for (let line = await lines.next(); !line.done; line = await lines.next()) {
  console.log(JSON.stringify(await count(Number(line.value))));
}
process.exit(0);

async function decrypt(calls: number): Promise<void> {
  for (let call = 0; call < calls; call++) {
    const sample = setting.samples[call % setting.samples.length]!;
    if (!await path.decrypt(sample)) throw new Error("The benchmark measures a wrong plaintext");
  }
}

async function count(calls: number): Promise<CallCounts> {
  await inspector.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
  const before = systemCalls();
  await decrypt(calls);
  const after = systemCalls();
  const { result } = await inspector.post("Profiler.takePreciseCoverage");
  await inspector.post("Profiler.stopPreciseCoverage");
  const functions = result.filter(({ url }) => OURS.test(url)).flatMap(({ url, functions }) =>
    functions.map(({ functionName, ranges }) => ({ url, functionName, calls: ranges[0]?.count ?? 0 }))
  );
  const foreign = functions.filter(({ url, functionName }) =>
    url.endsWith(FOREIGN) && functionName === RESULT_OF_C
  );
  const sum = (list: readonly { readonly calls: number }[]) =>
    list.reduce((total, one) => total + one.calls, 0) / calls;
  return {
    functions: sum(functions),
    foreign: sum(foreign),
    reads: (after.reads - before.reads) / calls,
    writes: (after.writes - before.writes) / calls,
  };
}

function systemCalls(): { reads: number; writes: number } {
  const text = readFileSync("/proc/self/io", "utf8");
  const field = (name: string) => Number(new RegExp(`^${name}: (\\d+)$`, "m").exec(text)?.[1]);
  return { reads: field("syscr"), writes: field("syscw") };
}
