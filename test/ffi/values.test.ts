import assert from "node:assert/strict";
import { describe, test } from "#test";
import type { ParameterKind, SymbolDeclaration } from "../../ffi/symbols.ts";
import { checkArguments, fromC, toC } from "../../ffi/values.ts";

const declaration = (...kinds: ParameterKind[]): SymbolDeclaration => ({
  parameters: kinds.map((kind) => [kind, "int x"] as const),
  result: ["void", "void"],
});

const check = (kind: ParameterKind, value: unknown) => checkArguments("f", declaration(kind), [value]);
const refuses = (name: "TypeError" | "RangeError", what: string, kind: ParameterKind, value: unknown) =>
  assert.throws(() => check(kind, value), {
    name,
    message: `Cannot call f: argument \`int x\` must ${what}`,
  });

describe("checkArguments()", () => {
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

  test("takes no kind that it does not know, and the right number of arguments", () => {
    assert.throws(() => check("f64" as ParameterKind, 0), RangeError);
    for (const args of [[], [1, 2]]) {
      assert.throws(() => checkArguments("f", declaration("i32"), args), {
        name: "TypeError",
        message: `Cannot call f: expected 1 arguments, got ${args.length}`,
      });
    }
  });
});

describe("toC() and fromC()", () => {
  test("give C addresses and sizes as bigints, and 0 for null", () => {
    const bytes = new Uint8Array(1);
    const kinds = ["i32", "u32", "usize", "bytes", "bytes?", "pointer x", "pointer? x"] as const;
    assert.deepEqual(toC(declaration(...kinds), [-1, 2, 3, bytes, null, 5n, null]), [
      ...[-1, 2, 3n, bytes, null, 5n, 0n],
    ]);
  });

  test("give TypeScript numbers, and null for the address 0", () => {
    assert.equal(fromC("void", 7), undefined);
    assert.equal(fromC("bool", true), true);
    for (const kind of ["i32", "u32", "usize", "isize"] as const) {
      assert.equal(fromC(kind, 7), 7);
      assert.equal(fromC(kind, 7n), 7);
    }
    for (const nothing of [0, 0n]) assert.equal(fromC("pointer x", nothing), null);
    for (const address of [7, 7n]) assert.equal(fromC("pointer x", address), 7n);
  });
});
