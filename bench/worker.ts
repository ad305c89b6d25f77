/**
 * The process of one path on one runtime: `node bench/worker.ts PATH`. Reads {@link Setting} and {@link
 * Parts} as one line of JSON, then answers every {@link SliceOrder} with a {@link Slice}.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import type { Complaint } from "./child.ts";
import type { Path } from "./paths/path.ts";
import { pathKind, type PathName } from "./paths/paths.ts";
import type { Parts, RoundTripMs, Setting } from "./setting.ts";
import { measureSlice, type Slice, type SliceOrder } from "./slice.ts";

const { open } = pathKind(process.argv[2] as PathName);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { setting, parts } = await read<{ setting: Setting; parts: Parts }>();
const paths = new Map<RoundTripMs, Path>();
console.log("true");

for (let order = await read<SliceOrder>(); order !== undefined; order = await read<SliceOrder>()) {
  console.log(JSON.stringify(await answer(order)));
}
await Promise.all([...paths.values()].map((path) => path[Symbol.asyncDispose]()));
process.exit(0);

async function answer(order: SliceOrder): Promise<Slice | Complaint> {
  try {
    const path = paths.get(order.roundTripMs) ?? await open(setting, parts, order.roundTripMs);
    paths.set(order.roundTripMs, path);
    return await measureSlice(path, setting.samples, order);
  } catch (error) {
    return { complaint: String(error) };
  }
}

async function read<T>(): Promise<T> {
  const { value, done } = await lines.next();
  return (done ? undefined : JSON.parse(String(value))) as T;
}
