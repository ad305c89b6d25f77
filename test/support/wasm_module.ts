/**
 * Writes WebAssembly modules by hand, so that the tests need no compiler: sections in, bytes out. Nothing is
 * checked, because most of the modules are meant to be wrong.
 *
 * @module
 */

type Bytes = Uint8Array<ArrayBuffer>;

/** One function of a module. */
export interface WasmFunction {
  /** Its number of i32 parameters. */
  readonly params?: number;
  /** Whether it returns an i32. Default: yes. */
  readonly returns?: boolean;
  /** Its number of i32 locals. */
  readonly locals?: number;
  /** Under which name it is exported. */
  readonly name?: string;
  /** Its instructions, without the last `end`. */
  readonly code: readonly number[];
}

/** Parts of a module. */
export interface WasmParts {
  /** Functions, in the order of their indices. */
  readonly functions?: readonly WasmFunction[];
  /**
   * The memory's limits as they stand in the section; default: one page, no maximum. Exported as `memory`.
   */
  readonly memory?: readonly number[] | undefined;
  /** Other sections by id, contents as they are. */
  readonly sections?: Readonly<Record<number, readonly number[]>>;
  /** More exports. */
  readonly exports?: readonly (readonly number[])[];
}

/** Opcodes, so that the tests can be read. */
export const op = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  return: 0x0f,
  call: 0x10,
  drop: 0x1a,
  get: 0x20,
  set: 0x21,
  tee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  load: 0x28,
  load8: 0x2d,
  store: 0x36,
  memoryGrow: 0x40,
  i32: 0x41,
  eqz: 0x45,
  eq: 0x46,
  geU: 0x4f,
  add: 0x6a,
  void: 0x40,
} as const;

/** @returns The module's bytes */
export function wasmModule(
  { functions = [], memory = [0, 1], sections = {}, exports = [] }: WasmParts,
): Bytes {
  const named = functions.flatMap(({ name }, index) =>
    name === undefined ? [] : [[...text(name), 0, ...u32(index)]]
  );
  const all: Record<number, readonly number[]> = {
    1: vector(functions.map(({ params = 0, returns = true }) => {
      return [0x60, ...vector(Array(params).fill([0x7f])), ...vector(returns ? [[0x7f]] : [])];
    })),
    3: vector(functions.map((_, index) => u32(index))),
    ...(memory.length === 0 ? {} : { 5: [1, ...memory] }),
    7: vector([...named, ...(memory.length === 0 ? [] : [[...text("memory"), 2, 0]]), ...exports]),
    10: vector(functions.map(body)),
    ...sections,
  };
  const order = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11, 0];
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...order.flatMap((id) => all[id] === undefined ? [] : [id, ...u32(all[id].length), ...all[id]]),
  ]);
}

/** @returns A plug-in with the given `policy_decide(pointer, length)`; its facts go to address 1024 */
export function plugin(
  decide: readonly number[],
  parts: WasmParts & { locals?: number } = {},
): Bytes {
  const { functions = [], locals = 0, ...rest } = parts;
  return wasmModule({
    memory: [0, 2],
    ...rest,
    functions: [
      { name: "policy_abi", code: [op.i32, 1] },
      { name: "policy_alloc", params: 1, code: [op.i32, ...s32(1024)] },
      { name: "policy_decide", params: 2, locals, code: decide },
      ...functions,
    ],
  });
}

/** Permits what has these four characters anywhere in its facts. */
export function lookingFor(word: string): readonly number[] {
  const wanted = new DataView(new TextEncoder().encode(word).buffer).getInt32(0, true);
  return [
    ...[op.loop, op.void],
    ...[
      op.get,
      0,
      op.load,
      0,
      0,
      op.i32,
      ...s32(wanted),
      op.eq,
      op.if,
      op.void,
      op.i32,
      1,
      op.return,
      op.end,
    ],
    ...[op.get, 0, op.i32, 1, op.add, op.set, 0],
    ...[op.get, 0, op.i32, ...s32(1024), op.get, 1, op.add, op.geU, op.eqz, op.brIf, 0],
    op.end,
    ...[op.i32, 0],
  ];
}

/** @returns A vector: the count, then the items */
export function vector(items: readonly (readonly number[])[]): number[] {
  return [...u32(items.length), ...items.flat()];
}

/** @returns A name: its length, then its bytes */
export function text(name: string): number[] {
  return [...u32(name.length), ...new TextEncoder().encode(name)];
}

/** @returns LEB128 */
export function u32(value: number): number[] {
  return value < 128 ? [value] : [value % 128 + 128, ...u32(Math.floor(value / 128))];
}

/** @returns LEB128 with a sign */
export function s32(value: number): number[] {
  return value >= -64 && value < 64 ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...s32(value >> 7)];
}

function body({ locals = 0, code }: WasmFunction): number[] {
  const bytes = [...(locals === 0 ? [0] : [1, ...u32(locals), 0x7f]), ...code, op.end];
  return [...u32(bytes.length), ...bytes];
}
