import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, test } from "#test";
import { PolicyLoadError } from "../../../../lib/core/errors.ts";
import { wasmPolicy } from "../../../support/policies.ts";
import { wasmEngine } from "../../../../lib/policy/wasm/wasm_engine.ts";
import { op, plugin, s32, text, u32, vector, type WasmParts } from "../../../support/wasm_module.ts";

const CASE = new URL("../../../../../shared/cases/plugin-hidden-loop.wasm", import.meta.url);

const YES = [op.i32, 1];
/** Taken for the immediate of what is before it, by a reader that does not know that. */
const HIDDEN_LOOP = [op.loop, op.void, op.br, 0, op.end];
const NOTHING = { returns: false, code: [] };

type Refused = readonly [parts: WasmParts, decide: readonly number[], message: RegExp];

const types = (...more: readonly (readonly number[])[]) => ({
  1: vector([[0x60, 0, 1, 0x7f], [0x60, 1, 0x7f, 1, 0x7f], [0x60, 2, 0x7f, 0x7f, 1, 0x7f], ...more]),
});

const many = (count: number, item: readonly number[]): number[] => vector(Array(count).fill(item));

/**
 * Modules that engines accept, and that ran without a charge or took hundreds of megabytes for each decision.
 */
const ESCAPES: Readonly<Record<string, Refused>> = {
  "a loop behind a block whose type is a typed reference": [
    { sections: types() },
    [op.block, 0x63, 0, 0xd0, 0, op.end, op.drop, ...HIDDEN_LOOP, ...YES],
    /a block has the type 0x63, ref null \(typed function references\), at byte \d+$/,
  ],
  "a loop behind a select whose type is a typed reference": [
    { sections: types() },
    [0xd0, 0, 0xd0, 0, op.i32, 0, 0x1c, 1, 0x63, 0, op.drop, ...HIDDEN_LOOP, ...YES],
    /it has a type by its index \(typed function references\), at byte \d+$/,
  ],
  "300 tables": [
    { sections: { 4: many(300, [0x70, 0, ...u32(16_384)]) } },
    YES,
    /it has 300 tables and may have 16, at byte \d+$/,
  ],
  "two tables that together are too large": [
    { sections: { 4: many(2, [0x70, 0, ...u32(8193)]) } },
    YES,
    /its tables have 16386 entries and may have 16384, at byte \d+$/,
  ],
  "array.new_default in a global": [
    {
      sections: {
        ...types([0x5e, 0x7f, 1]),
        6: vector([[0x63, 3, 0, op.i32, ...s32(200_000_000), 0xfb, 7, 3, op.end]]),
      },
    },
    YES,
    /it has the type 0x5e, array \(garbage collection\), at byte \d+$/,
  ],
};

/**
 * Modules that take an instance or the engine's compiler long before any fuel is taken; found by measuring.
 */
const COSTLY: Readonly<Record<string, Refused>> = {
  "50,000 locals and 20,000 branches, 35 s to compile": [
    {
      functions: [{
        returns: false,
        locals: 49_999,
        code: repeat(9000, [op.block, op.void, ...branch(0), op.end]),
      }],
    },
    [op.call, 3, ...YES],
    /its code has too many branches for its locals and values on the stack at byte \d+$/,
  ],
  "50,000 locals and 20,000 loops, 15 s to compile": [
    { functions: [{ returns: false, locals: 49_999, code: repeat(9000, [op.loop, op.void, op.end]) }] },
    [op.call, 3, ...YES],
    /too many branches/,
  ],
  "20,000 values on the stack and as many branches": [
    {
      functions: [{
        returns: false,
        code: [
          ...repeat(10_000, YES),
          ...repeat(3000, [op.block, op.void, ...branch(0), op.end]),
          ...repeat(10_000, [op.drop]),
        ],
      }],
    },
    [op.call, 3, ...YES],
    /too many branches/,
  ],
  "calls with 1000 results, 79 s to compile": [
    { sections: types([0x60, 0, ...many(1000, [0x7f])]) },
    YES,
    /it has a type with 1000 results and may have 16, at byte \d+$/,
  ],
  "16 results of many calls": [
    {
      sections: types([0x60, ...many(16, [0x7f]), ...many(16, [0x7f])], [0x60, 0, 1, 0x7f]),
      functions: [
        { code: [...Array(16).keys()].flatMap((index) => [op.get, index]) },
        { code: [...repeat(16, YES), ...repeat(16_000, [op.call, 3]), ...repeat(15, [op.drop])] },
      ],
    },
    YES,
    /too many branches/,
  ],
  "a block that takes 17 values": [
    { sections: types([0x60, ...many(17, [0x7f]), 0]) },
    [...repeat(17, YES), op.block, 3, ...repeat(17, [op.drop]), op.end, ...YES],
    /a block takes 17 values and may take 16, at byte \d+$/,
  ],
  "a function with 101 parameters": [
    { sections: types([0x60, ...many(101, [0x7f]), 0]) },
    YES,
    /it has a type with 101 parameters and may have 100, at byte \d+$/,
  ],
  "a function of 65 KiB": [
    { functions: [{ returns: false, code: Array(66_000).fill(0x01) }] },
    YES,
    /it has a function of 66002 bytes and may have 65536, at byte \d+$/,
  ],
  "more locals than an engine takes": [
    { functions: [{ returns: false, locals: 0xffff_ffff, code: [] }] },
    YES,
    /it has a function with more than 50000 locals at byte \d+$/,
  ],
  "many exports": [
    { exports: Array.from({ length: 101 }, (_, index) => [...text(`${index}`), 0, 0]) },
    YES,
    /it has 105 exports and may have 100, at byte \d+$/,
  ],
  "many globals": [
    { sections: { 6: many(1001, [0x70, 0, 0xd2, 0, op.end]) } },
    YES,
    /it has 1001 globals and may have 1000, at byte \d+$/,
  ],
  "many types": [
    { sections: types(...Array(998).fill([0x60, 0, 0])) },
    YES,
    /it has 1001 types and may have 1000, at byte \d+$/,
  ],
  "many functions": [
    { sections: { 3: many(20_001, [0]) } },
    YES,
    /it has 20001 functions and may have 20000, at byte \d+$/,
  ],
  "many element segments": [
    { sections: { 4: [1, 0x70, 0, 1], 9: many(1001, [0, op.i32, 0, op.end, 0]) } },
    YES,
    /it has 1001 element segments and may have 1000, at byte \d+$/,
  ],
  "many entries in element segments": [
    { sections: { 4: [1, 0x70, 0, 1], 9: many(2, [1, 0, ...many(8193, [0])]) } },
    YES,
    /its element segments have more than 16384 entries at byte \d+$/,
  ],
  "many data segments": [
    { sections: { 11: many(10_001, [1, 0]) } },
    YES,
    /it has 10001 data segments and may have 10000, at byte \d+$/,
  ],
  "a br_table with more labels than an engine takes": [
    {},
    [op.i32, 0, 0x0e, ...u32(65_521), ...Array(40_000).fill(0)],
    /a br_table has 65521 labels and may have 65520, at byte \d+$/,
  ],
};

/** Sections in forms that are not in the list. */
const FORMS: Readonly<Record<string, Refused>> = {
  "a start function": [
    { functions: [NOTHING], sections: { 8: [3] } },
    YES,
    /it has the section 8, start, at byte \d+$/,
  ],
  "a table with a first value": [
    { sections: { 4: [1, 0x40, 0, 0x70, 0, 1, 0xd0, 0x70, op.end] } },
    YES,
    /it has the type 0x40, a table with a first value \(typed function references\), at byte \d+$/,
  ],
  "a table of 64 bits": [
    { sections: { 4: [1, 0x70, 4, 1] } },
    YES,
    /a table has 64-bit addresses \(memory64\) at byte \d+$/,
  ],
  "a memory of 64 bits": [{ memory: [4, 1] }, YES, /a memory has 64-bit addresses \(memory64\) at byte \d+$/],
  "shared memory": [{ memory: [3, 1, 1] }, YES, /a memory has shared memory \(threads\) at byte \d+$/],
  "a memory with pages of a byte": [
    { memory: [8, 1, 0] },
    YES,
    /a memory has a page size of its own \(custom page sizes\) at byte \d+$/,
  ],
  "two memories": [
    { sections: { 5: many(2, [0, 1]) } },
    YES,
    /it has not exactly one memory at byte \d+$/,
  ],
  "an access to another memory": [
    {},
    [op.i32, 0, op.load, 0x42, 0, 0, op.drop, ...YES],
    /it accesses memory in an unknown way \(multi-memory, threads\) at byte \d+$/,
  ],
  "a size of another memory": [{}, [0x3f, 1], /it uses several memories \(multi-memory\) at byte \d+$/],
  "a constant that is computed": [
    { sections: { 6: vector([[0x7f, 0, ...YES, ...YES, op.add, op.end]]) } },
    YES,
    /a constant expression goes on with the instruction 0x41, i32.const, at byte \d+$/,
  ],
  "a constant from another global": [
    { sections: { 6: vector([[0x7f, 0, ...YES, op.end], [0x7f, 0, op.globalGet, 0, op.end]]) } },
    YES,
    /a constant expression has the instruction 0x23, global.get, at byte \d+$/,
  ],
  "a global that is shared": [
    { sections: { 6: vector([[0x7f, 2, ...YES, op.end]]) } },
    YES,
    /a global is neither constant nor variable at byte \d+$/,
  ],
  "an element segment of a ninth form": [
    { sections: { 9: [1, 8, 0, 0] } },
    YES,
    /an element segment of the unknown form 8 at byte \d+$/,
  ],
  "an element segment of an unknown kind": [
    { sections: { 9: [1, 1, 1, 0] } },
    YES,
    /an element segment of an unknown kind at byte \d+$/,
  ],
  "a data segment of another memory": [
    { sections: { 11: vector([[2, 1, op.i32, 0, op.end, 0]]) } },
    YES,
    /a data segment of another memory \(multi-memory\) at byte \d+$/,
  ],
  "a data segment of a fourth form": [
    { sections: { 11: vector([[3, 0]]) } },
    YES,
    /a data segment of the unknown form 3 at byte \d+$/,
  ],
  "an export of a tag": [
    { exports: [[...text("tag"), 4, 0]] },
    YES,
    /it exports what is no function, table, memory or global at byte \d+$/,
  ],
  "a block type that is a negative number of two bytes": [
    {},
    [op.block, 0xff, 0x7f, ...YES, op.end],
    /a block has an unknown type at byte \d+$/,
  ],
  "a select of no type": [
    {},
    [...YES, ...YES, ...YES, 0x1c, 0],
    /a select of another number of types than one at byte \d+$/,
  ],
  "a block of a type that is not there": [
    {},
    [op.block, 9, ...YES, op.end],
    /it names a type that it does not have at byte \d+$/,
  ],
  "a call of a function that is not there": [{}, [op.call, 9], /it calls what it does not have at byte \d+$/],
  "a section that goes on": [
    { sections: { 4: [0, 0] } },
    YES,
    /the section of tables goes on after its end at byte \d+$/,
  ],
};

function repeat(count: number, code: readonly number[]): number[] {
  return Array(count).fill(code).flat();
}

function branch(label: number): number[] {
  return [op.i32, 0, op.brIf, label];
}

function refuses(module: Uint8Array, message: RegExp): void {
  assert.throws(() => wasmPolicy(module), (error: unknown) => {
    assert.ok(error instanceof PolicyLoadError, String(error));
    assert.match(error.message, message);
    const cause = error.cause as { name: string; offset: number };
    assert.equal(cause.name, "WasmFormatError");
    assert.ok(error.message.endsWith(` at byte ${cause.offset}`) && cause.offset <= module.length);
    return true;
  });
}

describe("a plug-in may not have", () => {
  for (const [name, [parts, decide, message]] of Object.entries({ ...ESCAPES, ...COSTLY, ...FORMS })) {
    test(name, () => refuses(plugin(decide, parts), message));
  }

  // Without an engine that takes them, these would show nothing.
  for (const [name, [parts, decide]] of Object.entries(ESCAPES)) {
    test(`${name}, though the engine would`, () => {
      assert.equal(wasmEngine.validate(plugin(decide, parts) as Uint8Array<ArrayBuffer>), true);
    });
  }

  test.skipIf(!existsSync(CASE))("the loop of the file in ../shared/cases, where that is", () => {
    refuses(new Uint8Array(readFileSync(CASE)), /ref null \(typed function references\), at byte 319$/);
  });
});
