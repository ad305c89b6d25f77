import { loader } from "#loader";
import { makeLibrary } from "../../ffi/library.ts";
import type { NativeLibrary, SymbolTable } from "../../ffi/symbols.ts";
import { OWN_RUNTIME } from "../runtimes.ts";
import type { Row } from "../table.ts";
import { measureTurns, type Times, type Turns } from "./turns.ts";

/** Functions of libc that do next to nothing. */
const TABLE = {
  abs: { parameters: [["i32", "int j"]], result: ["i32", "int"], blocking: true },
  memcmp: {
    parameters: [["bytes", "const void *s1"], ["bytes", "const void *s2"], ["usize", "size_t n"]],
    result: ["i32", "int"],
  },
} as const satisfies SymbolTable;

const BATCH = 1000;
const ASYNC_BATCH = 20;
const NS_PER_MS = 1e6;

/**
 * Measures a call into C through this runtime's loader, beside the same checks around a function in
 * JavaScript.
 *
 * @param turns Number of turns; each is a batch of calls
 */
export async function ffiRows(turns: Turns): Promise<Row[]> {
  const native = openLibc();
  const inJavaScript = makeLibrary(null, TABLE, (name) => ({
    call: (first) => name === "abs" ? Math.abs(Number(first)) : 0,
    callAsync: (first) => Promise.resolve(Math.abs(Number(first))),
  }));
  const kinds = {
    "an integer": { call: integerBatch, size: BATCH },
    "two buffers": { call: bufferBatch, size: BATCH },
    "an integer, on another thread": { call: asyncBatch, size: ASYNC_BATCH },
  };
  const rows: Row[] = [];
  for (const [what, { call, size }] of Object.entries(kinds)) {
    const [ours, baseline] = await measureTurns([() => call(native), () => call(inJavaScript)], turns);
    rows.push({
      section: `A call into C through ${OWN_RUNTIME === "Deno" ? "Deno.dlopen" : "koffi"}`,
      what,
      runtime: OWN_RUNTIME,
      unit: "ns",
      ...perCall(ours, size),
      ratio: ours.p50 / baseline.p50,
      baseline: "the same in JavaScript",
    });
  }
  return rows;
}

type Libc = NativeLibrary<typeof TABLE>;

function openLibc(): Libc {
  for (const path of loader.libcPaths) {
    try {
      return loader.open(path, TABLE);
    } catch {
      // It is in another place.
    }
  }
  throw new Error("There is no libc");
}

function integerBatch({ call }: Libc): boolean {
  let sum = 0;
  for (let index = 0; index < BATCH; index++) sum += call.abs(index);
  return sum === BATCH * (BATCH - 1) / 2;
}

const buffer = new Uint8Array(new ArrayBuffer(64));

function bufferBatch({ call }: Libc): boolean {
  let sum = 0;
  for (let index = 0; index < BATCH; index++) sum += call.memcmp(buffer, buffer, buffer.length);
  return sum === 0;
}

async function asyncBatch({ callAsync }: Libc): Promise<boolean> {
  let sum = 0;
  for (let index = 0; index < ASYNC_BATCH; index++) sum += await callAsync.abs(index);
  return sum === ASYNC_BATCH * (ASYNC_BATCH - 1) / 2;
}

function perCall({ p50, p99 }: Times, size: number): Times {
  return { p50: p50 * NS_PER_MS / size, p99: p99 * NS_PER_MS / size };
}
