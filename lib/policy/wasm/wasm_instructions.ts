/**
 * Instructions that a metered module may have, as a written list: those of WebAssembly 2.0 without SIMD. Engines accept
 * more each year. Any other instruction is refused by name: code whose immediates were read differently from the
 * engine would run without a charge.
 *
 * https://webassembly.github.io/spec/versions/core/WebAssembly-2.0.pdf, chapter 5.4
 *
 * @module
 */

/** Form of the bytes after an opcode, for the scanner to skip. */
export const Form = {
  /** Instruction that is not in the list. */
  unknown: 0,
  /** No bytes. */
  plain: 1,
  /** Index or constant in LEB128. */
  integer: 2,
  /** Alignment and offset. */
  memory: 3,
  /** Other form: the scanner has a case for each. */
  special: 4,
} as const;

type Form = keyof typeof Form;

/** Opcodes that the scanner and the meter name. */
export const Opcode = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  brTable: 0x0e,
  return: 0x0f,
  call: 0x10,
  callIndirect: 0x11,
  selectTyped: 0x1c,
  globalGet: 0x23,
  globalSet: 0x24,
  memorySize: 0x3f,
  memoryGrow: 0x40,
  i32Const: 0x41,
  i64Const: 0x42,
  f32Const: 0x43,
  f64Const: 0x44,
  refNull: 0xd0,
  refFunc: 0xd2,
  prefixFc: 0xfc,
} as const;

/** Weight of divisions, square roots, rounding, truncation and conversion. */
const SLOW = 8;
/**
 * Weight of an access to memory, which can miss every cache: 150 ns, against 0.5 for others. A plug-in's unit of
 * fuel.
 */
const ACCESS = 32;
/** Weight of a reference that the engine looks up or makes outside of the code. */
const CALL_OUT = 64;
/** Weight of `table.set`, which checks the type of the value and informs the calls through the table. */
const TABLE_SET = 256;
/** Weight of `memory.grow`, which leaves the code and makes a new buffer. */
const GROW = 4096;

/** Values taken from the stack and put there, such as `2>1`. For `special` instructions the scanner knows better. */
type StackUse = "0>0" | "0>1" | "1>0" | "1>1" | "2>0" | "2>1" | "3>1";

/** Consecutive opcodes of one form, cost and stack use. */
type Row = readonly [first: number, form: Form, stack: StackUse, weight: number, names: string];

const ROWS: readonly Row[] = [
  [0x00, "special", "0>0", 1, "unreachable"],
  [0x01, "plain", "0>0", 1, "nop"],
  [0x02, "special", "0>0", 1, "block loop if else"],
  [0x0b, "special", "0>0", 1, "end br br_if br_table return call call_indirect"],
  [0x1a, "plain", "1>0", 1, "drop"],
  [0x1b, "plain", "3>1", 1, "select"],
  [0x1c, "special", "3>1", 1, "select_t"],
  [0x20, "integer", "0>1", 1, "local.get"],
  [0x21, "integer", "1>0", 1, "local.set"],
  [0x22, "integer", "1>1", 1, "local.tee"],
  [0x23, "special", "0>1", 1, "global.get"],
  [0x24, "special", "1>0", 1, "global.set"],
  [0x25, "integer", "1>1", CALL_OUT, "table.get"],
  [0x26, "integer", "2>0", TABLE_SET, "table.set"],
  [0x28, "memory", "1>1", ACCESS, "i32.load i64.load f32.load f64.load"],
  [0x2c, "memory", "1>1", ACCESS, "i32.load8_s i32.load8_u i32.load16_s i32.load16_u"],
  [
    0x30,
    "memory",
    "1>1",
    ACCESS,
    "i64.load8_s i64.load8_u i64.load16_s i64.load16_u i64.load32_s i64.load32_u",
  ],
  [0x36, "memory", "2>0", ACCESS, "i32.store i64.store f32.store f64.store"],
  [0x3a, "memory", "2>0", ACCESS, "i32.store8 i32.store16 i64.store8 i64.store16 i64.store32"],
  [0x3f, "special", "0>1", 1, "memory.size"],
  [0x40, "special", "1>1", GROW, "memory.grow"],
  [0x41, "integer", "0>1", 1, "i32.const i64.const"],
  [0x43, "special", "0>1", 1, "f32.const f64.const"],
  [0x45, "plain", "1>1", 1, "i32.eqz"],
  [0x46, "plain", "2>1", 1, "i32.eq i32.ne i32.lt_s i32.lt_u i32.gt_s i32.gt_u"],
  [0x4c, "plain", "2>1", 1, "i32.le_s i32.le_u i32.ge_s i32.ge_u"],
  [0x50, "plain", "1>1", 1, "i64.eqz"],
  [0x51, "plain", "2>1", 1, "i64.eq i64.ne i64.lt_s i64.lt_u i64.gt_s i64.gt_u"],
  [0x57, "plain", "2>1", 1, "i64.le_s i64.le_u i64.ge_s i64.ge_u"],
  [0x5b, "plain", "2>1", 1, "f32.eq f32.ne f32.lt f32.gt f32.le f32.ge"],
  [0x61, "plain", "2>1", 1, "f64.eq f64.ne f64.lt f64.gt f64.le f64.ge"],
  [0x67, "plain", "1>1", 1, "i32.clz i32.ctz i32.popcnt"],
  [0x6a, "plain", "2>1", 1, "i32.add i32.sub i32.mul"],
  [0x6d, "plain", "2>1", SLOW, "i32.div_s i32.div_u i32.rem_s i32.rem_u"],
  [0x71, "plain", "2>1", 1, "i32.and i32.or i32.xor i32.shl i32.shr_s i32.shr_u i32.rotl i32.rotr"],
  [0x79, "plain", "1>1", 1, "i64.clz i64.ctz i64.popcnt"],
  [0x7c, "plain", "2>1", 1, "i64.add i64.sub i64.mul"],
  [0x7f, "plain", "2>1", SLOW, "i64.div_s i64.div_u i64.rem_s i64.rem_u"],
  [0x83, "plain", "2>1", 1, "i64.and i64.or i64.xor i64.shl i64.shr_s i64.shr_u i64.rotl i64.rotr"],
  [0x8b, "plain", "1>1", 1, "f32.abs f32.neg"],
  [0x8d, "plain", "1>1", SLOW, "f32.ceil f32.floor f32.trunc f32.nearest f32.sqrt"],
  [0x92, "plain", "2>1", 1, "f32.add f32.sub f32.mul"],
  [0x95, "plain", "2>1", SLOW, "f32.div"],
  [0x96, "plain", "2>1", 1, "f32.min f32.max f32.copysign"],
  [0x99, "plain", "1>1", 1, "f64.abs f64.neg"],
  [0x9b, "plain", "1>1", SLOW, "f64.ceil f64.floor f64.trunc f64.nearest f64.sqrt"],
  [0xa0, "plain", "2>1", 1, "f64.add f64.sub f64.mul"],
  [0xa3, "plain", "2>1", SLOW, "f64.div"],
  [0xa4, "plain", "2>1", 1, "f64.min f64.max f64.copysign"],
  [0xa7, "plain", "1>1", 1, "i32.wrap_i64"],
  [0xa8, "plain", "1>1", SLOW, "i32.trunc_f32_s i32.trunc_f32_u i32.trunc_f64_s i32.trunc_f64_u"],
  [0xac, "plain", "1>1", SLOW, "i64.extend_i32_s i64.extend_i32_u"],
  [0xae, "plain", "1>1", SLOW, "i64.trunc_f32_s i64.trunc_f32_u i64.trunc_f64_s i64.trunc_f64_u"],
  [0xb2, "plain", "1>1", SLOW, "f32.convert_i32_s f32.convert_i32_u f32.convert_i64_s f32.convert_i64_u"],
  [0xb6, "plain", "1>1", SLOW, "f32.demote_f64"],
  [0xb7, "plain", "1>1", SLOW, "f64.convert_i32_s f64.convert_i32_u f64.convert_i64_s f64.convert_i64_u"],
  [0xbb, "plain", "1>1", 1, "f64.promote_f32"],
  [
    0xbc,
    "plain",
    "1>1",
    1,
    "i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32 f64.reinterpret_i64",
  ],
  [0xc0, "plain", "1>1", 1, "i32.extend8_s i32.extend16_s i64.extend8_s i64.extend16_s i64.extend32_s"],
  [0xd0, "special", "0>1", 1, "ref.null"],
  [0xd1, "plain", "1>1", 1, "ref.is_null"],
  [0xd2, "integer", "0>1", CALL_OUT, "ref.func"],
  [0xfc, "special", "0>0", SLOW, "prefix_fc"],
];

/** Instruction behind the prefix 0xfc. */
export interface PrefixedInstruction {
  readonly name: string;
  /** Number of values that it takes from the stack. */
  readonly pops: number;
  /** Number of values that it puts on the stack. */
  readonly pushes: number;
  /** Number of indices that follow it. */
  readonly indices: number;
  /** Whether its work depends on a number of bytes or entries, which is on top of the stack. */
  readonly hasLength: boolean;
}

/** Instructions by the number behind the prefix. */
export const PREFIXED: readonly PrefixedInstruction[] = [
  ...["i32.trunc_sat_f32_s", "i32.trunc_sat_f32_u", "i32.trunc_sat_f64_s", "i32.trunc_sat_f64_u"],
  ...["i64.trunc_sat_f32_s", "i64.trunc_sat_f32_u", "i64.trunc_sat_f64_s", "i64.trunc_sat_f64_u"],
].map((name) => prefixed(name, "1>1", 0)).concat([
  prefixed("memory.init", "3>0", 2, true),
  prefixed("data.drop", "0>0", 1),
  prefixed("memory.copy", "3>0", 2, true),
  prefixed("memory.fill", "3>0", 1, true),
  prefixed("table.init", "3>0", 2, true),
  prefixed("elem.drop", "0>0", 1),
  prefixed("table.copy", "3>0", 2, true),
  prefixed("table.grow", "2>1", 1, true),
  prefixed("table.size", "0>1", 1),
  prefixed("table.fill", "3>0", 1, true),
]);

function prefixed(name: string, stack: string, indices: number, hasLength = false): PrefixedInstruction {
  const [pops, pushes] = stackUse(stack);
  return { name, pops, pushes, indices, hasLength };
}

function stackUse(stack: string): [pops: number, pushes: number] {
  return [Number(stack[0]), Number(stack[2])];
}

/** Form of each opcode, one of {@link Form}. */
export const FORMS: Uint8Array = new Uint8Array(256);
/** Weight of each opcode: the number of simple instructions that take as long. */
export const WEIGHTS: Uint16Array = new Uint16Array(256);
/** Number of values that each opcode takes from the stack. */
export const POPS: Uint8Array = new Uint8Array(256);
/** Number of values that each opcode puts on the stack. */
export const PUSHES: Uint8Array = new Uint8Array(256);
/** Longest LEB128 after each `integer` opcode, in bytes. */
export const INTEGER_BYTES: Uint8Array = new Uint8Array(256).fill(5);
INTEGER_BYTES[Opcode.i64Const] = 10;

const names: string[] = [];
for (const [first, form, stack, weight, list] of ROWS) {
  for (const [place, name] of list.split(" ").entries()) {
    const opcode = first + place;
    names[opcode] = name;
    FORMS[opcode] = Form[form];
    WEIGHTS[opcode] = weight;
    [POPS[opcode], PUSHES[opcode]] = stackUse(stack);
  }
}

/** Names of the instructions in the list, by opcode. */
export const INSTRUCTION_NAMES: readonly (string | undefined)[] = names;
