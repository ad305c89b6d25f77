import assert from "node:assert/strict";
import { describe, test } from "#test";
import { FUEL_EXPORT, meter, type MeterRules } from "../../../../lib/policy/wasm/meter.ts";
import { PLUGIN_RULES } from "../../../../lib/policy/plugin/wasm_policy.ts";
import { wasmEngine, type WasmGlobal, type WasmMemory } from "../../../../lib/policy/wasm/wasm_engine.ts";
import { WasmFormatError } from "../../../../lib/policy/wasm/wasm_reader.ts";
import { op, s32, text, u32, vector, wasmModule, type WasmParts } from "../../../support/wasm_module.ts";

const RULES: MeterRules = {
  ...PLUGIN_RULES,
  maxMemoryPages: 16,
  instructionsPerUnit: 1000,
  allowImports: true,
};

/** As for a module we trust. */
const WITH_LENGTHS: Partial<MeterRules> = {
  extraInstructions: [
    ...["memory.init", "memory.copy", "memory.fill"],
    ...["table.init", "table.copy", "table.grow", "table.fill"],
  ],
};

interface Metered {
  readonly fuel: WasmGlobal;
  readonly memory: WasmMemory;
  run(...args: number[]): unknown;
}

function load(parts: WasmParts, rules: Partial<MeterRules> = {}): Metered {
  const module = new wasmEngine.Module(meter(wasmModule(parts), { ...RULES, ...rules }));
  const { [FUEL_EXPORT]: fuel, memory, run } = new wasmEngine.Instance(module).exports;
  return { fuel, memory, run } as unknown as Metered;
}

/** Fuel that running it takes. */
function cost(parts: WasmParts, args: number[] = [], rules: Partial<MeterRules> = {}): number {
  const { fuel, run } = load(parts, rules);
  fuel.value = 1_000_000;
  run(...args);
  return 1_000_000 - fuel.value;
}

function refuses(module: Uint8Array, message: RegExp): void {
  assert.throws(() => meter(module, RULES), (error: unknown) => {
    assert.ok(error instanceof WasmFormatError, String(error));
    assert.match(error.message, message);
    return true;
  });
}

/** Counts its parameter down to zero. */
const COUNTDOWN = [
  ...[op.loop, op.void, op.get, 0, op.i32, 0x7f, op.add, op.tee, 0, op.brIf, 0, op.end],
  ...[op.i32, 5],
];
const countdown: WasmParts = { functions: [{ name: "run", params: 1, code: COUNTDOWN }] };

const F32 = [0x43, 0, 0, 0x80, 0x3f];
const F64 = [0x44, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f];
const I64 = [0x42, 6];

/** Operations that a processor takes long for: the first and the last of each range of opcodes. */
const SLOW: Readonly<Record<string, readonly number[]>> = {
  "i32.div_s": [op.i32, 6, op.i32, 3, 0x6d],
  "i32.rem_u": [op.i32, 6, op.i32, 3, 0x70],
  "i64.div_s": [...I64, ...I64, 0x7f],
  "i64.rem_u": [...I64, ...I64, 0x82],
  "f32.ceil": [...F32, 0x8d],
  "f32.sqrt": [...F32, 0x91],
  "f32.div": [...F32, ...F32, 0x95],
  "f64.ceil": [...F64, 0x9b],
  "f64.sqrt": [...F64, 0x9f],
  "f64.div": [...F64, ...F64, 0xa3],
  "i32.trunc_f32_s": [...F32, 0xa8],
  "f64.convert_i64_u": [...I64, 0xba],
  "i64.trunc_sat_f64_u": [...F64, 0xfc, 7],
};

/** Seven of each, so that an index is a byte that is no instruction. */
const SEGMENTS: Readonly<Record<number, readonly number[]>> = {
  4: vector(Array(7).fill([0x70, 0, 1])), // tables
  9: vector(Array(7).fill([1, 0, 1, 0])), // passive, of the function 0
  11: vector(Array(7).fill([1, 1, 0xaa])), // passive, of one byte
  12: u32(7),
};

const THREE = [op.i32, 0, op.i32, 0, op.i32, 1];
const REF_AND_LENGTH = [0xd0, 0x70, op.i32, 1];

/** Every bulk operation, and whether it takes a unit by its length. */
const BULK: Readonly<Record<string, readonly [code: readonly number[], hasLength: boolean]>> = {
  "memory.init": [[...THREE, 0xfc, 8, 6, 0], true],
  "data.drop": [[0xfc, 9, 6], false],
  "memory.copy": [[...THREE, 0xfc, 10, 0, 0], true],
  "memory.fill": [[...THREE, 0xfc, 11, 0], true],
  "table.init": [[...THREE, 0xfc, 12, 6, 6], true],
  "elem.drop": [[0xfc, 13, 6], false],
  "table.copy": [[...THREE, 0xfc, 14, 6, 6], true],
  "table.grow": [[...REF_AND_LENGTH, 0xfc, 15, 6, op.drop], true],
  "table.size": [[0xfc, 16, 6, op.drop], false],
  "table.fill": [[op.i32, 0, ...REF_AND_LENGTH, 0xfc, 17, 6], true],
};

const EMPTY_LOOP = [op.loop, op.void, op.end];

const empty: WasmParts = { functions: [{ name: "run", code: [op.i32, 1] }] };

describe("meter()", () => {
  test("takes a unit for each entry and each iteration", () => {
    assert.equal(cost(empty), 1);
    assert.equal(cost(countdown, [1]), 2);
    assert.equal(cost(countdown, [1000]), 1001);
  });

  test("counts calls where they enter", () => {
    const twice = [op.i32, 7, op.call, 1, op.drop, op.i32, 3, op.call, 1];
    assert.equal(
      cost({ functions: [{ name: "run", code: twice }, { params: 1, code: COUNTDOWN }] }),
      1 + 8 + 4,
    );
  });

  test("takes more for long stretches, slow instructions, locals and memory.grow", () => {
    const repeat = (count: number, code: number[]) => [...Array(count).fill(code).flat(), op.i32, 1];
    const run = (code: number[], locals = 0): WasmParts => ({ functions: [{ name: "run", locals, code }] });
    const rules = { instructionsPerUnit: 10 };
    // Its own `end` and the last constant are instructions, too.
    assert.equal(cost(run(repeat(100, [0x01])), [], rules), 1 + 10);
    assert.equal(cost(run(repeat(10, [op.i32, 9, op.i32, 3, 0x6d, op.drop])), [], rules), 1 + 11);
    assert.equal(cost(run([op.i32, 1], 400), [], rules), 1 + 10);
    assert.equal(cost(run([op.i32, 0, op.memoryGrow, 0]), [], rules), 1 + 409);
  });

  test("takes a unit for each access to memory, for it can miss every cache", () => {
    const rules = { instructionsPerUnit: 32 };
    const costOf = (code: number[]) => {
      const run = [...Array(100).fill(code).flat(), op.i32, 1];
      return cost({ functions: [{ name: "run", code: run }] }, [], rules);
    };
    const nothing = costOf([op.i32, 0, op.drop]);
    for (let opcode = 0x28; opcode <= 0x35; opcode++) {
      assert.ok(costOf([op.i32, 0, opcode, 0, 0, op.drop]) >= nothing + 100, `${opcode}`);
    }
    for (let opcode = 0x36; opcode <= 0x3e; opcode++) {
      const value = {
        0x37: [0x42, 0],
        0x38: F32,
        0x39: F64,
        0x3c: [0x42, 0],
        0x3d: [0x42, 0],
        0x3e: [0x42, 0],
      };
      const given = value[opcode as keyof typeof value] ?? [op.i32, 0];
      assert.ok(costOf([op.i32, 0, ...given, opcode, 0, 0]) >= nothing + 100, `${opcode}`);
    }
  });

  test("what follows a loop is no part of it", () => {
    const code = [...COUNTDOWN.slice(0, -2), ...Array(100).fill(0x01), op.i32, 5];
    const parts = { functions: [{ name: "run", params: 1, code }] };
    assert.equal(cost(parts, [20], { instructionsPerUnit: 20 }), 1 + 5 + 20);
  });

  for (const [name, code] of Object.entries(SLOW)) {
    test(`takes as much as for eight instructions for ${name}`, () => {
      const many = [...Array(100).fill([...code, op.drop]).flat(), op.i32, 1];
      assert.ok(cost({ functions: [{ name: "run", code: many }] }, [], { instructionsPerUnit: 10 }) > 80);
    });
  }

  test("stops below zero, and stays stopped until there is fuel again", () => {
    const { fuel, run } = load(countdown);
    assert.throws(() => run(1), /unreachable/);
    fuel.value = 11;
    assert.equal(run(10), 5);
    assert.equal(fuel.value, 0);
    fuel.value = 10;
    assert.throws(() => run(10), /unreachable/);
    assert.throws(() => run(10), /unreachable/);
    fuel.value = 11;
    assert.equal(run(10), 5);
  });

  test("keeps what blocks, branches and tables do", () => {
    // br_table over three blocks: 0 gives 10, 1 gives 20, the rest 30.
    const code = [
      ...[op.block, op.void, op.block, op.void, op.block, op.void],
      ...[op.get, 0, 0x0e, 2, 0, 1, 2, op.end],
      ...[op.i32, 10, op.return, op.end, op.i32, 20, op.return, op.end, op.i32, 30],
    ];
    const { fuel, run } = load({ functions: [{ name: "run", params: 1, code }] });
    fuel.value = 100;
    assert.deepEqual([0, 1, 2, 77].map((value) => run(value)), [10, 20, 30, 30]);
    assert.equal(fuel.value, 96);
  });

  test("passes over a call through a table, and sees what follows it", () => {
    // Of the type 6 through the table 6: as instructions, neither byte is one.
    const code = [op.i32, 0, 0x11, 6, 6, op.drop, ...EMPTY_LOOP, op.i32, 1];
    const functions = [{ name: "run", code }, ...Array(6).fill({ code: [op.i32, 7] })];
    const entry = [2, 6, op.i32, 0, op.end, 0, ...vector([u32(6)])];
    const sections = { 4: vector(Array(7).fill([0x70, 0, 1])), 9: vector([entry]) };
    assert.equal(cost({ functions, sections }), 3);
  });

  test("puts its global behind the module's own", () => {
    const own = vector([[0x7f, 1, op.i32, 7, op.end], [0x7e, 0, 0x42, 9, op.end]]);
    const code = [op.globalGet, 0, op.i32, 1, op.add, op.globalSet, 0, op.globalGet, 0];
    const { fuel, run } = load({ functions: [{ name: "run", code }], sections: { 6: own } });
    fuel.value = 2;
    assert.deepEqual([run(), run()], [8, 9]);
    assert.equal(fuel.value, 0);
  });

  test("caps memory, and leaves a lower maximum", () => {
    const grow: WasmParts["functions"] = [{ name: "run", params: 1, code: [op.get, 0, op.memoryGrow, 0] }];
    for (const [limits, pages] of [[[0, 1], 16], [[1, 1, 3], 3], [[1, 1, ...u32(60_000)], 16]] as const) {
      const { fuel, run } = load({ functions: grow, memory: limits });
      fuel.value = 1000;
      assert.deepEqual([run(pages), run(pages - 1)], [-1, 1]);
    }
    refuses(wasmModule({ memory: [0, 17] }), /wants 17 pages of memory and may have 16/);
    refuses(wasmModule({ memory: [3, 1, 1] }), /a memory has shared memory \(threads\)/);
    refuses(wasmModule({ memory: [], sections: { 5: [2, 0, 1, 0, 1] } }), /not exactly one memory/);
  });

  test("refuses what is cut short or goes on", () => {
    refuses(new Uint8Array(), /ends too early/);
    refuses(new Uint8Array([0, 0x61, 0x73, 0x6d, 2, 0, 0, 0]), /does not begin as a module/);
    const whole = wasmModule(empty);
    for (let length = 9; length < whole.length; length++) {
      try {
        meter(whole.subarray(0, length), RULES);
      } catch (error) {
        assert.ok(error instanceof WasmFormatError, `${length}: ${error}`);
      }
    }
    refuses(new Uint8Array([...whole, 1, 1, 0]), /section 1 twice/);
    refuses(
      wasmModule({ functions: [{ name: "run", code: [op.i32, 1, op.end, 0x01] }] }),
      /goes on after its end/,
    );
    refuses(wasmModule({ sections: { 5: [1, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0] } }), /integer is too long/);
  });

  test("refuses a part that is cut short, though the module goes on", () => {
    refuses(wasmModule({ ...empty, sections: { 5: [1, 0] } }), /ends too early/); // a memory without a limit
    refuses(wasmModule({ ...empty, sections: { 10: vector([[2, 0, 0x01]]) } }), /ends too early/);
    const twoBodies = vector([[2, 0, 0x01], [4, 0, op.i32, 1, op.end]]);
    const twice = { functions: [...empty.functions ?? [], ...empty.functions ?? []] };
    refuses(wasmModule({ ...twice, sections: { 10: twoBodies } }), /ends too early/);
    refuses(wasmModule({ ...empty, sections: { 10: twoBodies } }), /not as much code as functions/);
    const whole = wasmModule(empty);
    refuses(whole.subarray(0, whole.length - 1), /ends too early/);
  });

  test("lets memory and tables be as large as they may", () => {
    const { fuel, run } = load({ ...empty, memory: [0, 16] });
    fuel.value = 1;
    assert.equal(run(), 1);
    // As many entries as there may be together, with a maximum and without, of either kind.
    const tables = (first: number) =>
      vector([[0x70, 0, ...u32(first)], [0x70, 1, 1, 5], [0x6f, 0, 2], [0x6f, 1, 3, ...u32(100_000)]]);
    assert.equal(cost({ ...empty, sections: { 4: tables(16_378) } }), 1);
    refuses(
      wasmModule({ ...empty, sections: { 4: tables(16_379) } }),
      /^its tables have 16385 entries and may have 16384, at byte/,
    );
  });

  test("lets tables grow until all together are as large as they may be", () => {
    const rest = 16_384 - 6;
    const tables = vector([[0x6f, 0, 1], [0x6f, 1, 2, ...u32(100_000)], [0x6f, 1, 3, 4]]);
    const code = (table: number) => [0xd0, 0x6f, op.get, 0, 0xfc, 15, table];
    const grow = (table: number, entries: number) => {
      const parts = { functions: [{ name: "run", params: 1, code: code(table) }], sections: { 4: tables } };
      const { fuel, run } = load(parts, WITH_LENGTHS);
      fuel.value = 1000;
      return run(entries);
    };
    const spare = Math.floor(rest / 3);
    assert.deepEqual([grow(0, spare), grow(0, spare + 1)], [1, -1]);
    assert.deepEqual([grow(1, spare), grow(1, spare + 1)], [2, -1]);
    assert.deepEqual([grow(2, 1), grow(2, 2)], [3, -1]);
  });

  test("lets functions be imported", () => {
    const [first, second] = ["first", "second"].map((name) => [...text("env"), ...text(name), 0, 0]);
    const module = meter(
      wasmModule({
        functions: [{ code: [op.call, 0, op.call, 1, op.add] }],
        sections: { 2: vector([first ?? [], second ?? []]) },
        exports: [[...text("run"), 0, 2]],
      }),
      RULES,
    );
    const env = { first: () => 40, second: () => 2 };
    const instance = new wasmEngine.Instance(new wasmEngine.Module(module), { env });
    const { [FUEL_EXPORT]: fuel, run } = instance.exports as unknown as Metered & Record<string, WasmGlobal>;
    fuel!.value = 1;
    assert.equal(run(), 42);
    assert.equal(fuel!.value, 0);
    const memory = [...text("env"), ...text("memory"), 2, 0, 1];
    refuses(
      wasmModule({ ...empty, sections: { 2: vector([first ?? [], memory]) } }),
      /imports what is not a function/,
    );
  });

  test("leaves out custom sections", () => {
    const named = wasmModule({ ...empty, sections: { 0: [...text("name"), ...Array(5000).fill(1)] } });
    assert.ok(meter(named, RULES).length < 200);
  });

  test("lets bulk operations pass for a module we trust", () => {
    const fill = [op.i32, 0, op.i32, 9, op.i32, 4, 0xfc, 11, 0, op.i32, 0, op.load, 0, 0];
    const { fuel, run } = load({ functions: [{ name: "run", code: fill }] }, WITH_LENGTHS);
    fuel.value = 1;
    assert.equal(run(), 0x0909_0909);
  });

  for (const [name, [code, hasLength]] of Object.entries(BULK)) {
    test(`passes over ${name}, and sees what follows it`, () => {
      const parts = {
        functions: [{ name: "run", code: [...code, ...EMPTY_LOOP, op.i32, 1] }],
        sections: SEGMENTS,
      };
      assert.equal(cost(parts, [], WITH_LENGTHS), 2);
      // Without a length it is as good as any other; with one it must be named.
      if (!hasLength) return;
      refuses(
        wasmModule(parts),
        new RegExp(`^it uses ${name}, whose work depends on a length, at byte `),
      );
      // The charge takes a length from the stack, and puts it back.
      const plain = meter(wasmModule(parts), { ...RULES, ...WITH_LENGTHS });
      const without = wasmModule({
        ...parts,
        functions: [{ name: "run", code: [...EMPTY_LOOP, op.i32, 1] }],
      });
      const added = plain.length - wasmModule(parts).length;
      const charged = meter(without, RULES).length - without.length;
      assert.ok(added > charged);
    });
  }

  test("takes more for a bulk operation by its length", () => {
    const code = [op.i32, 0, op.i32, 0, op.get, 0, 0xfc, 10, 0, 0, op.i32, 1];
    const copy: WasmParts = { functions: [{ name: "run", params: 1, code }] };
    assert.deepEqual([0, 255, 256, 65_536].map((length) => cost(copy, [length], WITH_LENGTHS)), [
      1,
      1,
      2,
      257,
    ]);
    const { fuel, run } = load(copy, WITH_LENGTHS);
    // A length that would trap anyway, and as a signed number would give fuel back.
    for (const length of [-1, -0x8000_0000]) {
      fuel.value = 1000;
      assert.throws(() => run(length));
      assert.ok(fuel.value < 0);
    }
  });

  test("large charges are written as positive numbers", () => {
    const nops = Array(60_000).fill(0x01);
    assert.equal(
      cost({ functions: [{ name: "run", code: [...nops, op.i32, ...s32(1)] }] }, [], {
        instructionsPerUnit: 1,
      }),
      60_003,
    );
  });
});
