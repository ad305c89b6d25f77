import { INSTRUCTION_NAMES, Opcode } from "./wasm_instructions.ts";

/**
 * Names for what engines accept beyond WebAssembly 2.0 without SIMD, so that a refusal can name it. They do not matter
 * for safety: a part without a name here is refused by its number.
 *
 * @module
 */

/** Instructions, types and sections of a proposal, by their bytes. */
interface Names {
  readonly [byte: number]: string;
}

const EXCEPTIONS = "exception handling";
const TAIL_CALLS = "tail calls";
const REFERENCES = "typed function references";
const STACKS = "stack switching";

const INSTRUCTIONS: Names = {
  0x06: `try (${EXCEPTIONS})`,
  0x07: `catch (${EXCEPTIONS})`,
  0x08: `throw (${EXCEPTIONS})`,
  0x09: `rethrow (${EXCEPTIONS})`,
  0x0a: `throw_ref (${EXCEPTIONS})`,
  0x12: `return_call (${TAIL_CALLS})`,
  0x13: `return_call_indirect (${TAIL_CALLS})`,
  0x14: `call_ref (${REFERENCES})`,
  0x15: `return_call_ref (${TAIL_CALLS})`,
  0x18: `delegate (${EXCEPTIONS})`,
  0x19: `catch_all (${EXCEPTIONS})`,
  0x1f: `try_table (${EXCEPTIONS})`,
  0xd3: "ref.eq (garbage collection)",
  0xd4: `ref.as_non_null (${REFERENCES})`,
  0xd5: `br_on_null (${REFERENCES})`,
  0xd6: `br_on_non_null (${REFERENCES})`,
  0xe0: `cont.new (${STACKS})`,
  0xe1: `cont.bind (${STACKS})`,
  0xe2: `suspend (${STACKS})`,
  0xe3: `resume (${STACKS})`,
  0xe4: `resume_throw (${STACKS})`,
  0xe5: `resume_throw_ref (${STACKS})`,
  0xe6: `switch (${STACKS})`,
};

const PREFIXES: Names = {
  0xfb: "garbage collection or strings",
  0xfd: "SIMD",
  0xfe: "threads",
};

const TYPES: Names = {
  0x7b: "v128 (SIMD)",
  0x78: "i8 (garbage collection)",
  0x77: "i16 (garbage collection)",
  0x76: "f16 (half precision)",
  0x75: `nullcontref (${STACKS})`,
  0x74: `nullexnref (${EXCEPTIONS})`,
  0x73: "nullfuncref (garbage collection)",
  0x72: "nullexternref (garbage collection)",
  0x71: "nullref (garbage collection)",
  0x6e: "anyref (garbage collection)",
  0x6d: "eqref (garbage collection)",
  0x6c: "i31ref (garbage collection)",
  0x6b: "structref (garbage collection)",
  0x6a: "arrayref (garbage collection)",
  0x69: `exnref (${EXCEPTIONS})`,
  0x68: `contref (${STACKS})`,
  0x67: "stringref (strings)",
  0x65: "a shared type (threads)",
  0x64: `ref (${REFERENCES})`,
  0x63: `ref null (${REFERENCES})`,
  0x5f: "struct (garbage collection)",
  0x5e: "array (garbage collection)",
  0x5d: `cont (${STACKS})`,
  0x50: "sub (garbage collection)",
  0x4f: "sub final (garbage collection)",
  0x4e: "rec (garbage collection)",
  0x40: `a table with a first value (${REFERENCES})`,
};

const SECTIONS: Names = {
  8: "start",
  13: `tags (${EXCEPTIONS})`,
  14: "strings",
};

/**
 * Names an instruction.
 *
 * @param opcode Opcode, most often one that is not in the list
 * @param number Number behind it, where it is a prefix
 * @returns The name, where it has one here, with the bytes
 */
export function nameOfInstruction(opcode: number, number?: number): string {
  const bytes = number === undefined ? hex(opcode) : `${hex(opcode)} ${number}`;
  const name = INSTRUCTION_NAMES[opcode] ?? INSTRUCTIONS[opcode] ??
    (PREFIXES[opcode] && `of ${PREFIXES[opcode]}`);
  return name === undefined || opcode === Opcode.prefixFc
    ? `the unknown instruction ${bytes}`
    : `the instruction ${bytes}, ${name}`;
}

/** Names a type, with its byte. */
export function nameOfType(byte: number): string {
  if (byte < 0x40) return `a type by its index (${REFERENCES})`;
  return TYPES[byte] === undefined
    ? `the unknown type ${hex(byte)}`
    : `the type ${hex(byte)}, ${TYPES[byte]}`;
}

/** Names a section, with its id. */
export function nameOfSection(id: number): string {
  return SECTIONS[id] === undefined ? `the unknown section ${id}` : `the section ${id}, ${SECTIONS[id]}`;
}

/** Names the proposal that flags of a memory or table belong to, beyond the lowest bit. */
export function nameOfLimits(flags: number): string {
  if ((flags & 8) !== 0) return "a page size of its own (custom page sizes)";
  if ((flags & 4) !== 0) return "64-bit addresses (memory64)";
  if ((flags & 2) !== 0) return "shared memory (threads)";
  return `unknown limits (${hex(flags)})`;
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, "0")}`;
}
