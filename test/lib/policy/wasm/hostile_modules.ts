/**
 * Plug-ins that must never permit anything. Those that load decide their canaries like good ones and turn on
 * requests that are longer than a canary.
 *
 * @module
 */
import { op, plugin, s32, text, u32, vector, wasmModule } from "../../../support/wasm_module.ts";

const YES = [op.i32, 1];

/** Longer than canaries, shorter than the hostile test's requests. */
const TRIGGER_BYTES = 600;

/** @returns A decision that runs the code on long requests and then says yes, and says no to short ones */
function onLong(code: readonly number[]): number[] {
  const isLong = [op.get, 1, op.i32, ...s32(TRIGGER_BYTES), op.geU];
  return [...isLong, op.if, op.void, ...code, ...YES, op.return, op.end, op.i32, 0];
}

/** @returns An endless loop around the code, many times over */
function forever(code: readonly number[], times = 1): number[] {
  return onLong([op.loop, op.void, ...Array(times).fill(code).flat(), op.br, 0, op.end]);
}

function repeat(count: number, code: readonly number[]): number[] {
  return Array(count).fill(code).flat();
}

/** Modules that load, and the reason for which they refuse. */
export const BAD_AT_RUN_TIME: Readonly<Record<string, readonly [module: Uint8Array, reason: RegExp]>> = {
  "loops for ever": [plugin(forever([])), /fuel/],
  "loops for ever in straight code": [plugin(forever([op.get, 1, op.set, 0], 16_000)), /fuel/],
  "divides for ever": [plugin(forever([op.i32, ...s32(123_456), op.get, 1, 0x6d, op.drop], 2000)), /fuel/],
  "converts for ever": [plugin(forever([op.get, 1, 0xb7, 0xaa, op.drop], 2000)), /fuel/],
  "grows by nothing for ever": [plugin(forever([op.i32, 0, op.memoryGrow, 0, op.drop])), /fuel/],
  "misses the cache for ever": [
    plugin(
      forever([
        ...[op.get, 0, op.i32, ...s32(7_654_321), op.add, op.tee, 0],
        ...[op.i32, ...s32(0xff_ffff), 0x71, op.load8, 0, 0, op.drop],
      ], 1000),
      { memory: [0, ...u32(256)] },
    ),
    /fuel/,
  ],
  "follows addresses through its memory for ever, each found where the one before led": [
    plugin(
      onLong([
        ...[op.loop, op.void],
        ...[op.get, 2, op.i32, 6, 0x74],
        ...[op.get, 2, op.i32, ...s32(1_664_525), 0x6c, op.i32, ...s32(1_013_904_223), op.add],
        ...[op.i32, ...s32(0x3_ffff), 0x71, op.i32, 6, 0x74, op.store, 2, 0],
        ...[
          op.get,
          2,
          op.i32,
          1,
          op.add,
          op.tee,
          2,
          op.i32,
          ...s32(0x4_0000),
          op.geU,
          op.eqz,
          op.brIf,
          0,
          op.end,
        ],
        ...[op.loop, op.void, op.get, 2, ...repeat(400, [op.load, 2, 0]), op.set, 2, op.br, 0, op.end],
      ]),
      { memory: [0, ...u32(256)], locals: 1 },
    ),
    /fuel/,
  ],
  "grows and writes for ever": [
    plugin(forever([op.i32, 1, op.memoryGrow, 0, op.drop, op.i32, 0, op.get, 1, op.store, 0, 0])),
    /fuel/,
  ],
  "zeroes locals for ever": [
    plugin(forever([op.call, 3]), { functions: [{ returns: false, locals: 49_000, code: [] }] }),
    /fuel/,
  ],
  "calls itself for ever": [
    plugin(onLong([op.call, 3]), { functions: [{ returns: false, code: [op.call, 3] }] }),
    /could not decide/,
  ],
  "calls through a table for ever": [
    plugin(forever([op.i32, 0, 0x11, 3, 0]), {
      functions: [{ returns: false, code: [] }],
      sections: { 4: [1, 0x70, 0, 1], 9: vector([[0, op.i32, 0, op.end, ...vector([u32(3)])]]) },
    }),
    /fuel/,
  ],
  "calls through a table's hole": [
    plugin(onLong([op.i32, 5, 0x11, 3, 0]), {
      functions: [{ returns: false, code: [] }],
      sections: { 4: [1, 0x70, 0, 9] },
    }),
    /could not decide/,
  ],
  "traps": [plugin(onLong([op.unreachable])), /unreachable/],
  "divides by zero": [plugin(onLong([op.i32, 1, op.i32, 0, 0x6d, op.drop])), /could not decide/],
  "reads past its memory": [plugin(onLong([op.i32, 0x7f, op.load, 0, 0, op.drop])), /could not decide/],
  "answers 2": [plugin([op.i32, 2]), /refused/],
  "answers -1": [plugin([op.i32, 0x7f]), /refused/],
  "answers 257": [plugin([op.i32, ...s32(257)]), /refused/],
  "answers 1 as a 64-bit integer": [withDecide([0x60, 2, 0x7f, 0x7f, 1, 0x7e], [0x42, 1]), /refused/],
  "answers 1.5": [
    withDecide([0x60, 2, 0x7f, 0x7f, 1, 0x7c], [0x44, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f]),
    /refused/,
  ],
  "answers nothing": [withDecide([0x60, 2, 0x7f, 0x7f, 0], []), /refused/],
  "answers 1 twice": [withDecide([0x60, 2, 0x7f, 0x7f, 2, 0x7f, 0x7f], [...YES, ...YES]), /refused/],
  "has no room for a long request": [allocating([op.i32, ...s32(65_000)]), /could not decide/],
  "wants the request before its memory": [
    allocating([
      op.get,
      0,
      op.i32,
      ...s32(TRIGGER_BYTES),
      op.geU,
      op.if,
      0x7f,
      op.i32,
      0x70,
      0x05,
      op.i32,
      0,
      op.end,
    ]),
    /could not decide/,
  ],
};

/** Modules that do not load, and why. */
export const BAD_AT_LOAD: Readonly<Record<string, readonly [module: Uint8Array, message: RegExp]>> = {
  "nothing": [new Uint8Array(), /ends too early/],
  "text": [new TextEncoder().encode("permit(principal, action, resource);"), /does not begin as a module/],
  "a header only": [new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]), /policy_abi/],
  "version 2": [new Uint8Array([0, 0x61, 0x73, 0x6d, 2, 0, 0, 0]), /does not begin as a module/],
  "cut short": [plugin(YES).subarray(0, -3), /ends too early/],
  "names the fuel that is not there yet": [
    plugin([op.i32, 99, op.globalSet, 0, ...YES]),
    /it names a global that it does not have at byte/,
  ],
  "is of wrong types": [plugin([op.add]), /not a valid/],
  "exports our name for the fuel": [
    plugin(YES, {
      sections: { 6: vector([[0x7f, 1, op.i32, 9, op.end]]) },
      exports: [[...text("enclave_kms_fuel"), 3, 0]],
    }),
    /Cannot load the plug-in/,
  ],
  "imports a function": [
    new Uint8Array([
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0],
      ...[2, 7, 1, 1, 0x65, 1, 0x66, 0, 0],
    ]),
    /it has imports/,
  ],
  "imports a memory": [
    new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 2, 8, 1, 1, 0x65, 1, 0x6d, 2, 0, 1]),
    /it has imports/,
  ],
  "runs at its start": [
    plugin(YES, { functions: [{ returns: false, code: [] }], sections: { 8: [3] } }),
    /section 8/,
  ],
  "copies in bulk": [
    plugin([op.i32, 0, op.i32, 0, op.i32, 0, 0xfc, 10, 0, 0, ...YES]),
    /it uses memory.copy, whose work depends on a length, at byte/,
  ],
  "fills in bulk": [plugin([op.i32, 0, op.i32, 0, op.i32, 0, 0xfc, 11, 0, ...YES]), /uses memory.fill/],
  "uses SIMD": [plugin([0xfd, 12, ...Array(16).fill(0), 0xfd, 0x53, op.drop, ...YES]), /0xfd/],
  "uses atomics": [plugin([op.i32, 0, 0xfe, 0x10, 2, 0, op.drop, ...YES]), /0xfe/],
  "has shared memory": [plugin(YES, { memory: [3, 1, 2] }), /shared/],
  "wants 64 MiB at once": [plugin(YES, { memory: [0, ...u32(1024)] }), /wants 1024 pages/],
  "wants a table of ten million": [
    plugin(YES, { sections: { 4: [1, 0x70, 0, ...u32(10_000_000)] } }),
    /its tables have 10000000 entries and may have 16384/,
  ],
  "is of another interface": [
    wasmModule({ functions: [{ name: "policy_abi", code: [op.i32, 2] }] }),
    /policy_abi\(\) is not 1/,
  ],
  "has no policy_decide": [
    wasmModule({
      functions: [
        { name: "policy_abi", code: YES },
        { name: "policy_alloc", params: 1, code: [op.i32, 0] },
      ],
    }),
    /policy_decide/,
  ],
  "has a number for a function": [
    wasmModule({
      sections: { 6: vector([[0x7f, 0, op.i32, 1, op.end]]) },
      exports: [[...text("policy_abi"), 3, 0]],
    }),
    /policy_abi/,
  ],
  "has no memory": [plugin(YES, { memory: [] }), /cannot decide/],
  "traps on every request": [plugin([op.unreachable]), /unreachable/],
  "loops on every request": [plugin([op.loop, op.void, op.br, 0, op.end, ...YES]), /fuel/],
  "is 2 MiB long": [
    plugin(YES, { sections: { 0: [...text("x"), ...repeat(2 << 20, [0])] } }),
    /bytes, and may/,
  ],
};

/** A plug-in whose `policy_decide` is of another type. */
function withDecide(type: readonly number[], code: readonly number[]): Uint8Array {
  const i32 = [0x60, 0, 1, 0x7f];
  const toI32 = [0x60, 1, 0x7f, 1, 0x7f];
  return plugin(code, { sections: { 1: vector([i32, toI32, type]) } });
}

/** A plug-in that would say yes, with the given `policy_alloc`. */
function allocating(code: readonly number[]): Uint8Array {
  return wasmModule({
    functions: [
      { name: "policy_abi", code: YES },
      { name: "policy_alloc", params: 1, code },
      { name: "policy_decide", params: 2, code: onLong([]) },
    ],
  });
}
