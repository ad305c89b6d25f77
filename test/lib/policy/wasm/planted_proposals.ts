/**
 * Constructs outside a plug-in's list, each planted in an otherwise valid module: every proposal that engines
 * accept, in the places where it can stand.
 *
 * @module
 */
import { vector } from "../../../support/wasm_module.ts";
import type { Planted } from "./random_module.ts";

const [DROP, END, I32, VOID] = [0x1a, 0x0b, 0x41, 0x40];

const FUNCTION_TYPE = [0x60, 0, 0];
const ARRAY = { types: [[0x5e, 0x7f, 1]] };
const STRUCT = { types: [[0x5f, 1, 0x7f, 1]] };
const TAG = (type: number) => ({ 13: [1, 0, type] });
const V128 = [0xfd, 12, ...Array(16).fill(0)];
const ZEROS = [I32, 0, I32, 0, I32, 0];
/** Behind the element segments and data that a module has anyway: there is always one of the first. */
const PASSIVE_DATA = { sections: () => ({ 12: [1], 11: vector([[1, 1, 0xaa]]) }) };

const withType = (planted: Planted): Planted => ({ types: [FUNCTION_TYPE], ...planted });
const local = (type: number): Planted => ({ locals: () => [[1, type]] });
const dead = (code: readonly number[]) => [I32, 0, 0x04, VOID, ...code, END];

/**
 * Planted proposals by name of the proposal and its place. Where possible, the proposal is the only construct
 * outside the list, so that nothing else refuses the module.
 */
export const PLANTED: Readonly<Record<string, Planted>> = {
  "typed references: block": { code: () => [0x02, 0x63, 0x70, 0xd0, 0x70, END, DROP] },
  "typed references: select": { code: () => [0xd0, 0x70, 0xd0, 0x70, I32, 0, 0x1c, 1, 0x63, 0x70, DROP] },
  "typed references: local": withType({ locals: (type) => [[1, 0x63, type]] }),
  "typed references: global": withType({ globals: (type) => [[0x63, type, 0, 0xd0, type, END]] }),
  "typed references: table": withType({ tables: (type) => [[0x63, type, 0, 1]] }),
  "typed references: element": withType({ elements: (type) => [[5, 0x63, type, 1, 0xd0, type, END]] }),
  "typed references: parameter": { types: [FUNCTION_TYPE, [0x60, 1, 0x63, 0, 0]] },
  "typed references: ref.null": withType({ code: (type) => [0xd0, type, DROP] }),
  "typed references: table's first value": { tables: () => [[0x40, 0, 0x70, 0, 1, 0xd0, 0x70, END]] },
  "typed references: call_ref": withType({ code: (type, self) => dead([0xd2, self, 0x14, type]) }),
  "typed references: ref.as_non_null": { code: () => dead([0xd0, 0x70, 0xd4, DROP]) },
  "typed references: br_on_null": { code: () => [0x02, VOID, 0xd0, 0x70, 0xd5, 0, DROP, END] },
  "typed references: br_on_non_null": {
    code: (_, self) => [0x02, 0x64, 0x70, 0xd0, 0x70, 0xd6, 0, 0xd2, self, END, DROP],
  },
  "tail calls: return_call": { code: (_, self) => dead([0x12, self]) },
  "tail calls: return_call_indirect": withType({ code: (type) => dead([I32, 0, 0x13, type, 0]) }),
  "tail calls: return_call_ref": withType({ code: (type, self) => dead([0xd2, self, 0x15, type]) }),
  "exceptions: try and catch_all": { code: () => [0x06, VOID, 0x19, END] },
  "exceptions: delegate": { code: () => [0x06, VOID, 0x18, 0] },
  "exceptions: rethrow": { code: () => [0x06, VOID, 0x19, 0x09, 0, END] },
  "exceptions: try_table": { code: () => [0x1f, VOID, 0, END] },
  "exceptions: throw_ref": { code: () => dead([0xd0, 0x69, 0x0a]) },
  "exceptions: exnref": local(0x69),
  "exceptions: tag": withType({ sections: TAG }),
  "exceptions: throw": withType({ sections: TAG, code: () => dead([0x08, 0]) }),
  "garbage collection: struct": STRUCT,
  "garbage collection: array": ARRAY,
  "garbage collection: rec": { types: [[0x4e, 1, ...FUNCTION_TYPE]] },
  "garbage collection: sub": { types: [[0x50, 0, ...FUNCTION_TYPE]] },
  "garbage collection: sub final": { types: [[0x4f, 0, ...FUNCTION_TYPE]] },
  "garbage collection: struct.new_default": { ...STRUCT, code: (type) => [0xfb, 1, type, DROP] },
  "garbage collection: array.new_default": { ...ARRAY, code: (type) => [I32, 1, 0xfb, 7, type, DROP] },
  "garbage collection: array.new_default in a global": {
    ...ARRAY,
    globals: (type) => [[0x63, type, 0, I32, 9, 0xfb, 7, type, END]],
  },
  "garbage collection: i31 in a global": { globals: () => [[0x6c, 0, I32, 9, 0xfb, 28, END]] },
  "garbage collection: ref.i31": { code: () => [I32, 1, 0xfb, 28, DROP] },
  "garbage collection: ref.eq": { code: () => [0xd0, 0x6d, 0xd0, 0x6d, 0xd3, DROP] },
  "garbage collection: anyref": local(0x6e),
  "garbage collection: eqref": local(0x6d),
  "garbage collection: i31ref": local(0x6c),
  "garbage collection: structref": local(0x6b),
  "garbage collection: arrayref": local(0x6a),
  "garbage collection: nullfuncref": local(0x73),
  "garbage collection: nullexternref": local(0x72),
  "garbage collection: nullref": local(0x71),
  "garbage collection: a constant global in a constant": { globals: () => [[0x7f, 0, 0x23, 1, END]] },
  "extended constants: add": { globals: () => [[0x7f, 0, I32, 1, I32, 1, 0x6a, END]] },
  "extended constants: 64 bits": { globals: () => [[0x7e, 0, 0x42, 1, 0x42, 1, 0x7d, END]] },
  "SIMD: v128.const": { code: () => [...V128, DROP] },
  "SIMD: local": local(0x7b),
  "SIMD: global": { globals: () => [[0x7b, 0, ...V128, END]] },
  "SIMD: block": { code: () => [0x02, 0x7b, ...V128, END, DROP] },
  "SIMD: load": { code: () => [I32, 0, 0xfd, 0, 0, 0, DROP] },
  "relaxed SIMD": { code: () => [...V128, ...V128, 0xfd, 0x80, 0x02, DROP] },
  "threads: fence": { code: () => [0xfe, 3, 0] },
  "threads: load": { code: () => [I32, 0, 0xfe, 0x10, 2, 0, DROP] },
  "threads: shared memory": { memories: [[3, 1, 1]] },
  "several memories": { memories: [[0, 1], [0, 1]] },
  "several memories: load": { memories: [[0, 1], [0, 1]], code: () => [I32, 0, 0x28, 0x40, 1, 0, DROP] },
  "several memories: size": { memories: [[0, 1], [0, 1]], code: () => [0x3f, 1, DROP] },
  "memory64": { memories: [[4, 1]], sections: () => ({ 11: [0], 12: [0] }), isAlone: true },
  "memory64: table": { tables: () => [[0x70, 4, 1]] },
  "custom page sizes": { memories: [[8, 1, 0]], isAlone: true },
  "wide arithmetic": { code: () => [0x42, 1, 0x42, 1, 0x42, 1, 0x42, 1, 0xfc, 19, DROP, DROP] },
  "stack switching: cont": withType({ types: [FUNCTION_TYPE, [0x5d, 0]] }),
  "strings: stringref": local(0x67),
  "start function": { sections: (_, self) => ({ 8: [self] }) },
  "bulk memory: memory.init": { code: () => [...ZEROS, 0xfc, 8, 0, 0], ...PASSIVE_DATA, isAlone: true },
  "bulk memory: memory.copy": { code: () => [...ZEROS, 0xfc, 10, 0, 0] },
  "bulk memory: memory.fill": { code: () => [...ZEROS, 0xfc, 11, 0] },
  "bulk memory: table.init": { code: () => [...ZEROS, 0xfc, 12, 0, 0] },
  "bulk memory: table.copy": { code: () => [...ZEROS, 0xfc, 14, 0, 0] },
  "references: table.grow": { code: () => [0xd0, 0x70, I32, 0, 0xfc, 15, 0, DROP] },
  "references: table.fill": { code: () => [I32, 0, 0xd0, 0x70, I32, 0, 0xfc, 17, 0] },
};
