import assert from "node:assert/strict";
import { describe, test } from "#test";
import type { ParameterKind, SymbolTable } from "../../ffi/symbols.ts";
import { makeLibrary } from "../../ffi/library.ts";
import { argumentReader, resultReader } from "../../ffi/values.ts";

const check = (kind: ParameterKind, value: unknown) => argumentReader("f", kind, "int x")(value);
const refuses = (name: "TypeError" | "RangeError", what: string, kind: ParameterKind, value: unknown) =>
  assert.throws(() => check(kind, value), {
    name,
    message: `Cannot call f: argument \`int x\` must ${what}`,
  });

describe("argumentReader()", () => {
  const RANGES = {
    i32: [-2_147_483_648, 2_147_483_647],
    u32: [0, 4_294_967_295],
    usize: [0, Number.MAX_SAFE_INTEGER],
  } as const;
  for (const [kind, [min, max]] of Object.entries(RANGES) as [ParameterKind, [number, number]][]) {
    test(`takes ${kind} from ${min} to ${max}`, () => {
      for (const value of [min, 0, 1, max]) check(kind, value);
      const what = `be an integer from ${min} to ${max}`;
      for (const value of [min - 1, max + 1, 0.5, NaN, Infinity]) refuses("RangeError", what, kind, value);
      for (const value of [null, undefined, "1", 1n]) refuses("TypeError", "be a number", kind, value);
    });
  }

  test("takes pointers, and null only where it is said", () => {
    for (const kind of ["pointer x", "pointer? x"] as const) {
      for (const value of [1n, (1n << 64n) - 1n]) check(kind, value);
      for (const value of [0n, -1n, 1n << 64n]) refuses("RangeError", "be an address", kind, value);
      for (const value of [undefined, 1, "1", new Uint8Array(1)]) {
        refuses("TypeError", "be a pointer", kind, value);
      }
    }
    check("pointer? x", null);
    refuses("TypeError", "be a pointer", "pointer x", null);
  });

  test("takes bytes, and null only where it is said", () => {
    for (const kind of ["bytes", "bytes?"] as const) {
      check(kind, new Uint8Array(1));
      refuses("RangeError", "not be empty: C would see NULL", kind, new Uint8Array(0));
      const shared = new Uint8Array(new SharedArrayBuffer(1));
      for (const value of [undefined, "x", [1], new ArrayBuffer(1), shared]) {
        refuses("TypeError", "be a Uint8Array over an ArrayBuffer", kind, value);
      }
    }
    check("bytes?", null);
    refuses("TypeError", "be a Uint8Array over an ArrayBuffer", "bytes", null);
  });

  test("takes no kind that it does not know", () => {
    assert.throws(() => check("f64" as ParameterKind, 0), RangeError);
  });

  test("gives C addresses and sizes as bigints, and 0 for an address that is null", () => {
    const bytes = new Uint8Array(1);
    const cases: [ParameterKind, unknown, unknown][] = [
      ["i32", -1, -1],
      ["u32", 2, 2],
      ["usize", 3, 3n],
      ["bytes", bytes, bytes],
      ["bytes?", bytes, bytes],
      ["bytes?", null, null],
      ["pointer x", 5n, 5n],
      ["pointer? x", 6n, 6n],
      ["pointer? x", null, 0n],
    ];
    for (const [kind, value, inC] of cases) assert.equal(check(kind, value), inC, kind);
  });
});

describe("makeLibrary()", () => {
  const table = {
    f: {
      parameters: [["i32", "int x"], ["usize", "size_t y"]],
      result: ["usize", "size_t"],
      blocking: true,
    },
    optional: { parameters: [], result: ["void", "void"], optional: true },
  } as const satisfies SymbolTable;
  const seen: unknown[] = [];
  const { call, callAsync } = makeLibrary("/lib.so", table, (name) =>
    name === "optional" ? undefined : {
      call: (...args) => seen.push("here", ...args),
      callAsync: (...args) => Promise.resolve(BigInt(seen.push("elsewhere", ...args))),
    });
  type Unchecked = (...args: unknown[]) => unknown;

  test("passes arguments on as C takes them, and results as TypeScript does", async () => {
    seen.length = 0;
    assert.equal(call.f(-1, 2), 3);
    assert.equal(await callAsync.f(3, 4), 6);
    assert.deepEqual(seen, ["here", -1, 2n, "elsewhere", 3, 4n]);
    assert.equal(call.optional, undefined);
  });

  test("calls nothing with too few arguments, too many, or a wrong one", async () => {
    seen.length = 0;
    for (const args of [[], [1], [1, 2, 3]]) {
      const expected = {
        name: "TypeError",
        message: `Cannot call f: expected 2 arguments, got ${args.length}`,
      };
      assert.throws(() => (call.f as Unchecked)(...args), expected);
      await assert.rejects(async () => await (callAsync.f as Unchecked)(...args), expected);
    }
    assert.throws(() => call.f(1, -1), /^RangeError: Cannot call f: argument `size_t y` must be an integer/);
    await assert.rejects(callAsync.f(1, -1), /^RangeError/);
    assert.deepEqual(seen, []);
  });
});

describe("resultReader()", () => {
  test("give TypeScript numbers, and null for the address 0", () => {
    assert.equal(resultReader("void")(7), undefined);
    assert.equal(resultReader("bool")(true), true);
    for (const kind of ["i32", "u32", "usize", "isize"] as const) {
      assert.equal(resultReader(kind)(7), 7);
      assert.equal(resultReader(kind)(7n), 7);
    }
    for (const nothing of [0, 0n]) assert.equal(resultReader("pointer x")(nothing), null);
    for (const address of [7, 7n]) assert.equal(resultReader("pointer x")(address), 7n);
  });
});
