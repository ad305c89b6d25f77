import {
  Form,
  FORMS,
  INTEGER_BYTES,
  Opcode,
  POPS,
  PREFIXED,
  type PrefixedInstruction,
  PUSHES,
  WEIGHTS,
} from "./wasm_instructions.ts";
import { nameOfInstruction, nameOfType } from "./wasm_proposals.ts";
import type { WasmReader } from "./wasm_reader.ts";
import { CodeStack, type Segment } from "./wasm_stack.ts";
import {
  isValueType,
  MAX_BLOCK_VALUES,
  type ModuleLimits,
  type ModuleNames,
  passReferenceType,
  passValueType,
  type Signature,
} from "./wasm_sections.ts";

/** Rules for code. */
export interface CodeRules {
  /** Instructions with a length that may be used besides those of the list, by name: `memory.copy`. */
  readonly extraInstructions: readonly string[];
  /** Limits of a module's parts. */
  readonly limits: ModuleLimits;
}

/** Locals that are zeroed, at each entry of a function, in about the time of an instruction. */
const LOCALS_PER_INSTRUCTION = 4;

/** Visits for a charge, which is a branch of its own: see `takeFuel()` in the meter. */
const VISITS_PER_CHARGE = 2;

/** Visits for a call's result: the compiler looks for it among all values in registers. */
const VISITS_PER_RESULT = 32;

/** Most entries of one `br_table`, as in engines. */
const MAX_LABELS = 65_520;

/**
 * Reader of code, as far as charging for it needs: the length of each instruction, the beginnings of loops, and the
 * most values on the stack, which bound the work of the engine's compiler.
 */
export class CodeScanner {
  readonly #names: ModuleNames;
  readonly #rules: CodeRules;
  readonly #stack: CodeStack;
  #body: WasmReader;
  #segments: Segment[] = [];

  /**
   * Starts before the first function.
   *
   * @param names Items that the code refers to
   * @param rules Rules for the code
   * @param body Body of the first function, or any
   */
  constructor(names: ModuleNames, rules: CodeRules, body: WasmReader) {
    this.#names = names;
    this.#rules = rules;
    this.#body = body;
    this.#stack = new CodeStack(rules.limits.compilerVisits);
  }

  /**
   * Reads one function.
   *
   * @param body Its entry of the code section, with the locals first
   * @param signature Its type
   * @returns Its segments, its own first, in the order of the code
   * @throws {WasmFormatError} When an instruction is not in the list, or the functions so far are too much work for the
   *   engine's compiler
   */
  read(body: WasmReader, { parameters, results }: Signature): Segment[] {
    const { functionBytes } = this.#rules.limits;
    const length = body.end - body.position;
    if (length > functionBytes) {
      body.fail(`it has a function of ${length} bytes and may have ${functionBytes},`);
    }
    this.#body = body;
    this.#segments = [];
    const locals = this.#readLocals();
    const stack = this.#stack;
    stack.begin(parameters + locals);
    stack.open({ parameters: 0, results }, this.#segmentAt(Math.ceil(locals / LOCALS_PER_INSTRUCTION)));
    while (stack.isOpen) this.#passSpecial(this.#passOrdinary());
    body.expectEnd("a function");
    return this.#segments;
  }

  /**
   * Skips the ordinary instructions, which most code consists of, in one tight loop: Cedar has two million.
   *
   * @returns Opcode of the first other instruction; the reader stands behind it
   */
  #passOrdinary(): number {
    const body = this.#body;
    const { bytes, end } = body;
    const { base, segment } = this.#stack.block;
    let at = body.position;
    let height = this.#stack.height;
    let weight = 0;
    for (;;) {
      const opcode = bytes[at++] ?? 0;
      const form = FORMS[opcode];
      if (at > end) body.fail("it ends too early", end);
      if (form === Form.special || form === Form.unknown) {
        body.position = at;
        this.#stack.height = height;
        segment.weight += weight;
        return opcode;
      }
      weight += WEIGHTS[opcode] ?? 0;
      height = Math.max(base, height - (POPS[opcode] ?? 0)) + (PUSHES[opcode] ?? 0);
      if (form === Form.plain) continue;
      // No alignment above 8 bytes is valid: other bits announce another memory or order of access.
      if (form === Form.memory && (bytes[at++] ?? 255) > 3) {
        body.fail("it accesses memory in an unknown way (multi-memory, threads)", at - 1);
      }
      const from = at;
      while ((bytes[at++] ?? 0) >= 0x80);
      if (at - from > (INTEGER_BYTES[opcode] ?? 0)) body.fail("an integer is too long", from);
    }
  }

  /** Skips an instruction that is not ordinary; the reader stands behind its opcode. */
  #passSpecial(opcode: number): void {
    const at = this.#body.position - 1;
    if (FORMS[opcode] === Form.unknown) this.#refuse(opcode, at);
    this.#stack.block.segment.weight += WEIGHTS[opcode] ?? 0;
    switch (opcode) {
      case Opcode.block:
      case Opcode.loop:
      case Opcode.if:
        return this.#begin(opcode);
      case Opcode.else:
        this.#visit(1);
        return this.#stack.turn();
      case Opcode.end:
        this.#visit(1);
        return this.#stack.close();
      case Opcode.br:
      case Opcode.brIf:
      case Opcode.brTable:
      case Opcode.return:
      case Opcode.unreachable:
        return this.#branch(opcode);
      case Opcode.call:
        return this.#call(this.#names.functions[this.#body.u32()], at);
      case Opcode.callIndirect:
        this.#stack.use(1, 0);
        this.#call(this.#names.types[this.#body.u32()], at);
        return void this.#body.u32();
      case Opcode.prefixFc:
        return this.#passPrefixed(at);
      default:
        this.#passOperand(opcode, at);
        this.#stack.use(POPS[opcode] ?? 0, PUSHES[opcode] ?? 0);
    }
  }

  #passOperand(opcode: number, at: number): void {
    const body = this.#body;
    switch (opcode) {
      case Opcode.globalGet:
      case Opcode.globalSet:
        if (body.u32() >= this.#names.globals) body.fail("it names a global that it does not have", at);
        return;
      case Opcode.memorySize:
      case Opcode.memoryGrow:
        if (body.byte() !== 0) body.fail("it uses several memories (multi-memory)", at);
        return;
      case Opcode.f32Const:
        return body.skip(4);
      case Opcode.f64Const:
        return body.skip(8);
      case Opcode.refNull:
        return passReferenceType(body);
      case Opcode.selectTyped:
        if (body.u32() !== 1) body.fail("it has a select of another number of types than one", at);
        return passValueType(body);
    }
    this.#refuse(opcode, at);
  }

  #begin(opcode: number): void {
    if (opcode === Opcode.if) this.#stack.use(1, 0);
    const type = this.#readBlockType();
    this.#visit(1);
    this.#stack.open(type, opcode === Opcode.loop ? this.#segmentAt(0) : this.#stack.block.segment);
  }

  /** Reads a block type: none, a value type, or the index of a function's type, which is not negative. */
  #readBlockType(): Signature {
    const body = this.#body;
    const at = body.position;
    const first = body.bytes[at] ?? 0;
    if (first === 0x40 || isValueType(first)) {
      body.skip(1);
      return { parameters: 0, results: first === 0x40 ? 0 : 1 };
    }
    if (first >= 0x40 && first < 0x80) body.fail(`a block has ${nameOfType(first)},`, at);
    const index = body.u32();
    if ((body.bytes[body.position - 1] ?? 0) >= 0x40) body.fail("a block has an unknown type", at);
    const type = this.#names.types[index] ?? body.fail("it names a type that it does not have", at);
    if (type.parameters > MAX_BLOCK_VALUES) {
      body.fail(`a block takes ${type.parameters} values and may take ${MAX_BLOCK_VALUES},`, at);
    }
    return type;
  }

  #branch(opcode: number): void {
    const body = this.#body;
    this.#stack.use(opcode === Opcode.brIf || opcode === Opcode.brTable ? 1 : 0, 0);
    if (opcode === Opcode.br || opcode === Opcode.brIf) body.u32();
    this.#visit(opcode === Opcode.brTable ? this.#passLabels() : 1);
    if (opcode !== Opcode.brIf) this.#stack.leave();
  }

  #passLabels(): number {
    const at = this.#body.position;
    const labels = this.#body.u32();
    if (labels > MAX_LABELS) {
      this.#body.fail(`a br_table has ${labels} labels and may have ${MAX_LABELS},`, at);
    }
    for (let left = labels + 1; left > 0; left--) this.#body.u32();
    return labels + 1;
  }

  #call(type: Signature | undefined, at: number): void {
    if (type === undefined) return this.#body.fail("it calls what it does not have", at);
    this.#visit(1, VISITS_PER_RESULT * type.results);
    this.#stack.use(type.parameters, type.results);
  }

  #passPrefixed(at: number): void {
    const number = this.#body.u32();
    const instruction = PREFIXED[number];
    if (instruction === undefined) return this.#refuse(Opcode.prefixFc, at, number);
    if (instruction.hasLength) this.#passBulk(instruction, at);
    for (let left = instruction.indices; left > 0; left--) this.#body.u32();
    this.#stack.use(instruction.pops, instruction.pushes);
  }

  #passBulk({ name }: PrefixedInstruction, at: number): void {
    if (!this.#rules.extraInstructions.includes(name)) {
      this.#body.fail(`it uses ${name}, whose work depends on a length,`, at);
    }
    this.#segments.push({ at, weight: 0, isBulk: true });
    this.#visit(VISITS_PER_CHARGE);
  }

  #visit(times: number, more?: number): void {
    this.#stack.visit(this.#body, times, more);
  }

  /** Begins a segment at the next instruction. */
  #segmentAt(weight: number): Segment {
    const segment = { at: this.#body.position, weight, isBulk: false };
    this.#segments.push(segment);
    this.#visit(VISITS_PER_CHARGE);
    return segment;
  }

  #readLocals(): number {
    const { locals: max } = this.#rules.limits;
    const at = this.#body.position;
    let count = 0;
    for (let groups = this.#body.u32(); groups > 0; groups--) {
      count += this.#body.u32();
      passValueType(this.#body);
      if (count > max) this.#body.fail(`it has a function with more than ${max} locals`, at);
    }
    return count;
  }

  #refuse(opcode: number, at: number, number?: number): never {
    const isPrefix = opcode === 0xfb || opcode === 0xfd || opcode === 0xfe;
    const named = nameOfInstruction(opcode, isPrefix ? this.#body.u32() : number);
    this.#body.fail(`it uses ${named},`, at);
  }
}
