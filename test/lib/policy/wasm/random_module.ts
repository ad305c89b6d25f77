/**
 * Random WebAssembly modules that count for themselves: at each entry of a function and each head of a loop a
 * global is incremented. It has its own table of instructions and shares no code with lib/policy, whose meter
 * it judges.
 *
 * @module
 */
import { s32, text, u32, vector } from "../../../support/wasm_module.ts";
import type { Random } from "../cedar/oracle.ts";

/** i32, i64, f32, f64, funcref, externref. */
type Type = "i" | "I" | "f" | "F" | "r" | "x";

const BYTES: Readonly<Record<Type, number>> = { i: 0x7f, I: 0x7e, f: 0x7d, F: 0x7c, r: 0x70, x: 0x6f };
const TYPES = Object.keys(BYTES) as Type[];

/** More entries and iterations than this and the module traps by itself. */
export const MAX_COUNT = 20_000;

/** Opcodes from the first on that take and leave the same: `ii>i`. */
const OPERATORS: readonly (readonly [first: number, count: number, signature: string])[] = [
  ...[[0x45, 1, "i>i"], [0x46, 10, "ii>i"], [0x50, 1, "I>i"], [0x51, 10, "II>i"], [0x5b, 6, "ff>i"]] as const,
  ...[[0x61, 6, "FF>i"], [0x67, 3, "i>i"], [0x6a, 15, "ii>i"], [0x79, 3, "I>I"], [0x7c, 15, "II>I"]] as const,
  ...[[0x8b, 7, "f>f"], [0x92, 7, "ff>f"], [0x99, 7, "F>F"], [0xa0, 7, "FF>F"], [0xa7, 1, "I>i"]] as const,
  ...[[0xa8, 2, "f>i"], [0xaa, 2, "F>i"], [0xac, 2, "i>I"], [0xae, 2, "f>I"], [0xb0, 2, "F>I"]] as const,
  ...[[0xb2, 2, "i>f"], [0xb4, 2, "I>f"], [0xb6, 1, "F>f"], [0xb7, 2, "i>F"], [0xb9, 2, "I>F"]] as const,
  ...[[0xbb, 1, "f>F"], [0xbc, 1, "f>i"], [0xbd, 1, "F>I"], [0xbe, 1, "i>f"], [0xbf, 1, "I>F"]] as const,
  ...[[0xc0, 2, "i>i"], [0xc2, 3, "I>I"]] as const,
];
const SATURATING = ["f>i", "f>i", "F>i", "F>i", "f>I", "f>I", "F>I", "F>I"];
/** Type and largest alignment (as a power of two) of each opcode from `i32.load` on. */
const LOADS = ["i2", "I3", "f2", "F3", "i0", "i0", "i1", "i1", "I0", "I0", "I1", "I1", "I2", "I2"];
const STORES = ["i2", "I3", "f2", "F3", "i0", "i1", "I0", "I1", "I2"];

interface Operator {
  readonly code: readonly number[];
  readonly takes: readonly Type[];
}

const BY_RESULT = new Map<string, Operator[]>();
for (const [first, count, signature] of OPERATORS) {
  for (let place = 0; place < count; place++) addOperator([first + place], signature);
}
for (const [number, signature] of SATURATING.entries()) addOperator([0xfc, number], signature);

function addOperator(code: readonly number[], signature: string): void {
  const [takes = "", result = ""] = signature.split(">");
  BY_RESULT.set(result, [...BY_RESULT.get(result) ?? [], { code, takes: takes.split("") as Type[] }]);
}

/** Construct outside the list that is planted in a module; `type` is the index of the first type it adds. */
export interface Planted {
  /** For the code of a function that takes and returns nothing; `self` is its index. */
  readonly code?: (type: number, self: number) => readonly number[];
  /** Groups of locals of that function. */
  readonly locals?: (type: number) => readonly (readonly number[])[];
  readonly types?: readonly (readonly number[])[];
  readonly tables?: (type: number) => readonly (readonly number[])[];
  /** In place of the one memory. */
  readonly memories?: readonly (readonly number[])[];
  /** Behind two globals, the second of which is a constant i32. */
  readonly globals?: (type: number) => readonly (readonly number[])[];
  readonly elements?: (type: number) => readonly (readonly number[])[];
  /** Sections that there are not otherwise. */
  readonly sections?: (type: number, self: number) => Readonly<Record<number, readonly number[]>>;
  /** No code but that, because it would not be valid beside it. */
  readonly isAlone?: boolean;
}

/** A module, and what it consists of. */
export interface RandomModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Numbers of parameters of the functions `f0`, `f1` and so on, by their types. */
  readonly functions: readonly (readonly Type[])[];
  /** Such as `op 6a`, `fc 7`, `type 7f`, `section 9`, `element 3`, `data 1`, `constant 41`, `block index`. */
  readonly seen: ReadonlySet<string>;
}

/**
 * @returns A valid module, as long as what is planted is; it exports its functions, and its counter as
 *   `count`
 */
export function randomModule(random: Random, planted: Planted = {}): RandomModule {
  return new Generator(random, planted).module();
}

interface Signature {
  readonly takes: readonly Type[];
  readonly gives: readonly Type[];
}

const NONE: Signature = { takes: [], gives: [] };

class Generator {
  readonly #random: Random;
  readonly #planted: Planted;
  readonly #seen = new Set<string>();
  readonly #types: string[] = [];
  readonly #typeBytes: number[][] = [];
  readonly #functions: Signature[];
  readonly #globals: Type[];
  readonly #segments: number;
  readonly #drops: boolean;
  #locals: Type[] = [];
  #labels: (readonly Type[])[] = [];
  #out: number[] = [];
  #left = 0;

  constructor(random: Random, planted: Planted) {
    this.#random = random;
    this.#planted = planted;
    this.#functions = Array.from({ length: 1 + random(4) }, () => this.#signature());
    this.#functions.push(NONE);
    this.#globals = Array.from({ length: random(4) }, () => this.#type());
    this.#segments = random(4);
    this.#drops = random(2) === 0;
  }

  module(): RandomModule {
    const planted = this.#planted;
    const self = this.#functions.length - 1;
    const functionTypes = this.#functions.map((signature) => this.#typeIndex(signature));
    const plantedType = 60;
    const bodies = this.#functions.map((signature, index) =>
      this.#body(signature, index === self, plantedType, self)
    );
    while (this.#typeBytes.length < plantedType) this.#typeBytes.push([0x60, 0, 0]);
    const sections: Record<number, readonly number[]> = {
      1: vector([...this.#typeBytes.slice(0, plantedType), ...planted.types ?? []]),
      3: vector(functionTypes.map(u32)),
      4: vector([...this.#tables(), ...planted.tables?.(plantedType) ?? []]),
      5: vector(planted.memories ?? [this.#pick([[0, 1], [1, 1, 3]])]),
      6: vector([...this.#globalSection(), ...planted.globals?.(plantedType) ?? []]),
      7: vector(this.#exports()),
      9: vector([...this.#elements(self), ...planted.elements?.(plantedType) ?? []]),
      10: vector(bodies.map((body) => [...u32(body.length), ...body])),
      ...this.#data(),
      ...planted.sections?.(plantedType, self),
    };
    return {
      bytes: this.#encode(sections),
      functions: this.#functions.map(({ takes }) => takes),
      seen: this.#seen,
    };
  }

  #encode(sections: Readonly<Record<number, readonly number[]>>): Uint8Array<ArrayBuffer> {
    const out = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
    for (const id of [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11]) {
      if (this.#random(30) === 0) this.#section(out, 0, [...text("any"), 0xff, 0x0b]);
      const contents = sections[id];
      if (contents !== undefined) this.#section(out, id, contents);
    }
    return new Uint8Array(out);
  }

  #section(out: number[], id: number, contents: readonly number[]): void {
    this.#see(`section ${id}`);
    out.push(id, ...u32(contents.length), ...contents);
  }

  #tables(): number[][] {
    return [[0x70, 0, 8], [0x6f, 1, 4, 9]];
  }

  /** The counter first. */
  #globalSection(): number[][] {
    const own = this.#globals.map((type) => [this.#typeByte(type), 1, ...this.#constant(type)]);
    return [[0x7f, 1, 0x41, 0, 0x0b], [0x7f, 0, 0x41, 7, 0x0b], ...own];
  }

  #constant(type: Type): number[] {
    const code = this.#literal(type);
    this.#see(`constant ${hex(code[0] ?? 0)}`);
    return [...code, 0x0b];
  }

  #exports(): number[][] {
    const functions = this.#functions.map((_, index) => [...text(`f${index}`), 0, ...u32(index)]);
    return [...functions, [...text("count"), 3, 0], [...text("memory"), 2, 0], [...text("table"), 1, 0]];
  }

  /** Every function is in one that only declares it, so that there may be references to it. */
  #elements(self: number): number[][] {
    const all = Array.from({ length: self + 1 }, (_, index) => u32(index));
    const segments: [form: number, bytes: number[]][] = [[3, [0, ...vector(all)]]];
    for (let count = this.#segments; count > 0; count--) segments.push(this.#element());
    return segments.map(([form, bytes]) => {
      this.#see(`element ${form}`);
      return [form, ...bytes];
    });
  }

  #element(): [form: number, bytes: number[]] {
    const form = this.#random(8);
    const isActive = form % 2 === 0;
    const table = form === 2 || form === 6 ? [0] : [];
    const kind = form === 0 || form === 4 ? [] : form < 4 ? [0] : [0x70];
    const items = Array.from({ length: 1 + this.#random(3) }, () => {
      return form < 4 ? u32(this.#random(this.#functions.length)) : this.#constant("r");
    });
    const offset = isActive ? [0x41, this.#random(4), 0x0b] : [];
    return [form, [...table, ...offset, ...kind, ...vector(items)]];
  }

  #data(): Record<number, readonly number[]> {
    if (this.#segments === 0) return {};
    const segments = Array.from({ length: this.#segments }, () => {
      const form = this.#random(3);
      this.#see(`data ${form}`);
      const offset = form === 1 ? [] : [...form === 2 ? [0] : [], 0x41, ...s32(this.#random(5000)), 0x0b];
      return [form, ...offset, ...vector(Array(this.#random(9)).fill([0xab]))];
    });
    return { 11: vector(segments), ...(this.#drops ? { 12: u32(this.#segments) } : {}) };
  }

  #body({ takes, gives }: Signature, isHost: boolean, type: number, self: number): number[] {
    const own = Array.from({ length: this.#random(4) }, () => this.#type());
    this.#locals = [...takes, ...own];
    this.#labels = [gives];
    this.#out = [];
    this.#left = this.#planted.isAlone ? 0 : 60;
    this.#plant();
    if (this.#left > 0) this.#statements(3);
    if (isHost) this.#out.push(...this.#planted.code?.(type, self) ?? []);
    for (const result of gives) this.#expression(result, 2);
    this.#emit(0x0b);
    const groups = own.map((local) => [...u32(1 + this.#random(2)), this.#typeByte(local)]);
    // A group of two has one that no code names: only the last of them may be it.
    const locals = groups.map((group, index) => index === groups.length - 1 ? group : [1, group.at(-1) ?? 0]);
    return [...vector([...locals, ...(isHost ? this.#planted.locals?.(type) ?? [] : [])]), ...this.#out];
  }

  /** `count++; if (count > MAX_COUNT) unreachable` */
  #plant(): void {
    this.#out.push(
      0x23,
      0,
      0x41,
      1,
      0x6a,
      0x24,
      0,
      0x23,
      0,
      0x41,
      ...s32(MAX_COUNT),
      0x4b,
      0x04,
      0x40,
      0x00,
      0x0b,
    );
  }

  #statements(depth: number): void {
    for (let count = 1 + this.#random(3); count > 0; count--) this.#statement(depth);
  }

  #statement(depth: number): void {
    const kind = this.#random(this.#left > 0 && depth > 0 ? 17 : 8);
    switch (kind) {
      case 0:
        return this.#emit(0x01);
      case 1:
        return this.#set(0x21, this.#locals, 0, depth);
      case 2:
        return this.#set(0x24, this.#globals, 2, depth);
      case 3:
        return this.#store(depth);
      case 4:
        return this.#tableSet(depth);
      case 5:
        return this.#dropSegment();
      case 6:
      case 7:
        this.#expression(this.#type(), depth - 1);
        return this.#emit(0x1a);
      case 8:
      case 9:
      case 10:
        return this.#block(kind - 6, [], depth);
      case 11:
        return this.#branch(depth);
      case 12:
        return this.#branchTable(depth);
      case 13:
        return this.#leave(depth);
      case 14:
        return this.#call(this.#random(this.#functions.length), depth, true);
      case 15:
        return this.#callIndirect(this.#pick(this.#functions), depth, true);
      default:
        return this.#dead(depth);
    }
  }

  #set(opcode: number, variables: readonly Type[], first: number, depth: number): void {
    if (variables.length === 0) return;
    const index = this.#random(variables.length);
    this.#expression(variables[index] ?? "i", depth - 1);
    this.#emit(opcode, ...this.#index(first + index));
  }

  #store(depth: number): void {
    const place = this.#random(STORES.length);
    const [type, align] = STORES[place] ?? "";
    this.#address(depth);
    this.#expression(type as Type, depth - 1);
    this.#emit(0x36 + place, this.#random(Number(align) + 1), ...this.#index(this.#random(300)));
  }

  /** Most often one that there is. */
  #address(depth: number): void {
    this.#expression("i", depth - 1);
    if (this.#random(20) === 0) return;
    this.#emit(0x41, ...s32(0x3fff));
    this.#emit(0x71);
  }

  #tableSet(depth: number): void {
    const table = this.#random(2);
    this.#emit(0x41, this.#random(6));
    this.#expression(table === 0 ? "r" : "x", depth - 1);
    this.#emit(0x26, table);
  }

  #dropSegment(): void {
    if (this.#random(2) === 0) return this.#prefixed(13, this.#random(this.#segments + 1));
    if (this.#segments > 0 && this.#drops) this.#prefixed(9, this.#random(this.#segments));
  }

  /** @param opcode That of block, loop or if */
  #block(opcode: number, gives: readonly Type[], depth: number): void {
    const takes = this.#random(4) === 0 ? this.#list(2) : [];
    for (const type of takes) this.#expression(type, depth - 1);
    if (opcode === 0x04) this.#expression("i", depth - 1);
    this.#emit(opcode, ...this.#blockType({ takes, gives }));
    this.#labels.push(opcode === 0x03 ? takes : gives);
    this.#inside(opcode, takes, gives, depth);
    if (opcode === 0x04 && (gives.length > 0 || takes.length > 0 || this.#random(2) === 0)) {
      this.#emit(0x05);
      this.#inside(opcode, takes, gives, depth);
    }
    this.#labels.pop();
    this.#emit(0x0b);
  }

  #inside(opcode: number, takes: readonly Type[], gives: readonly Type[], depth: number): void {
    if (opcode === 0x03) this.#plant();
    for (const _ of takes) this.#emit(0x1a);
    this.#statements(depth - 1);
    for (const type of gives) this.#expression(type, depth - 1);
  }

  #blockType({ takes, gives }: Signature): number[] {
    const [only] = gives;
    const isShort = takes.length === 0 && gives.length < 2 && this.#random(4) > 0;
    this.#see(isShort ? `block ${only === undefined ? "empty" : "value"}` : "block index");
    if (!isShort) return this.#index(this.#typeIndex({ takes, gives }));
    return [only === undefined ? 0x40 : this.#typeByte(only)];
  }

  #branch(depth: number): void {
    const label = this.#random(this.#labels.length);
    const carried = this.#labels.at(-1 - label) ?? [];
    for (const type of carried) this.#expression(type, depth - 1);
    this.#expression("i", depth - 1);
    this.#emit(0x0d, ...this.#index(label));
    for (const _ of carried) this.#emit(0x1a);
  }

  #branchTable(depth: number): void {
    this.#when(depth, () => {
      const wanted = this.#pick(this.#labels);
      const labels = [...this.#labels.keys()].filter((label) => {
        return this.#labels.at(-1 - label)?.join() === wanted.join();
      });
      for (const type of wanted) this.#expression(type, depth - 1);
      this.#expression("i", depth - 1);
      const cases = Array.from({ length: this.#random(5) }, () => this.#index(this.#pick(labels)));
      this.#emit(0x0e, ...vector(cases), ...this.#index(this.#pick(labels)));
    });
  }

  /** Code that leaves, in an `if` of its own, so that what follows is not always dead. */
  #when(depth: number, leave: () => void): void {
    this.#expression("i", depth - 1);
    this.#emit(0x04, 0x40);
    this.#labels.push([]);
    leave();
    this.#labels.pop();
    this.#emit(0x0b);
  }

  #leave(depth: number): void {
    this.#when(depth, () => {
      if (this.#random(4) === 0) return this.#emit(0x00);
      for (const type of this.#labels[0] ?? []) this.#expression(type, depth - 1);
      this.#emit(0x0f);
    });
  }

  /** Adds unreachable code, which takes any values from the stack. */
  #dead(depth: number): void {
    this.#emit(0x02, 0x40);
    this.#labels.push([]);
    this.#emit(0x0c, 0);
    if (this.#random(2) === 0) this.#out.push(0x6a, 0x1a);
    this.#statements(depth - 1);
    this.#labels.pop();
    this.#emit(0x0b);
  }

  #call(index: number, depth: number, isDropped: boolean): void {
    const { takes, gives } = this.#functions[index] ?? NONE;
    for (const type of takes) this.#expression(type, depth - 1);
    this.#emit(0x10, ...this.#index(index));
    if (isDropped) { for (const _ of gives) this.#emit(0x1a); }
  }

  #callIndirect(signature: Signature, depth: number, isDropped: boolean): void {
    for (const type of signature.takes) this.#expression(type, depth - 1);
    this.#emit(0x41, this.#random(7));
    this.#emit(0x11, ...this.#index(this.#typeIndex(signature)), 0);
    if (isDropped) { for (const _ of signature.gives) this.#emit(0x1a); }
  }

  #expression(type: Type, depth: number): void {
    this.#left--;
    const kind = this.#left > 0 && depth > 0 ? this.#random(14) : 13;
    if (kind < 5) return this.#operator(type, depth);
    if (kind < 8) return this.#block(kind - 3, [type], depth);
    if (kind === 8) return this.#callFor(type, depth);
    if (kind === 9) return this.#select(type, depth);
    if (kind < 12) return this.#fetch(type, depth);
    const local = this.#locals.indexOf(type);
    if (kind === 12 && local >= 0) {
      this.#expression(type, depth - 1);
      return this.#emit(0x22, ...this.#index(local));
    }
    this.#leaf(type);
  }

  #operator(type: Type, depth: number): void {
    const operators = BY_RESULT.get(type);
    if (operators === undefined) return this.#leaf(type);
    const { takes, code: [opcode = 0, number] } = this.#pick(operators);
    for (const taken of takes) this.#expression(taken, depth - 1);
    if (number === undefined) this.#emit(opcode);
    else this.#prefixed(number);
  }

  #callFor(type: Type, depth: number): void {
    const fitting = this.#functions.findIndex(({ gives }) => gives.join() === type);
    if (fitting < 0) return this.#leaf(type);
    if (this.#random(2) === 0) return this.#call(fitting, depth, false);
    this.#callIndirect(this.#functions[fitting] ?? NONE, depth, false);
  }

  #select(type: Type, depth: number): void {
    this.#expression(type, depth - 1);
    this.#expression(type, depth - 1);
    this.#expression("i", depth - 1);
    if (type === "r" || type === "x" || this.#random(2) === 0) this.#emit(0x1c, 1, this.#typeByte(type));
    else this.#emit(0x1b);
  }

  /** From memory or a table, or what is known of them. */
  #fetch(type: Type, depth: number): void {
    if (type === "r" || type === "x") {
      this.#emit(0x41, this.#random(6));
      return this.#emit(0x25, type === "r" ? 0 : 1);
    }
    if (type === "i" && this.#random(2) === 0) return this.#measure(depth);
    const fitting = [...LOADS.keys()].filter((place) => LOADS[place]?.[0] === type);
    const place = this.#pick(fitting);
    this.#address(depth);
    this.#emit(0x28 + place, this.#random(Number(LOADS[place]?.[1]) + 1), ...this.#index(this.#random(300)));
  }

  #measure(depth: number): void {
    switch (this.#random(5)) {
      case 0:
        return this.#emit(0x3f, 0);
      case 1:
        this.#emit(0x41, this.#random(2));
        return this.#emit(0x40, 0);
      case 2:
        return this.#prefixed(16, this.#random(2));
      default:
        this.#expression(this.#pick(["r", "x"]), depth - 1);
        return this.#emit(0xd1);
    }
  }

  #leaf(type: Type): void {
    const local = this.#locals.lastIndexOf(type);
    if (local >= 0 && this.#random(2) === 0) return this.#emit(0x20, ...this.#index(local));
    const global = this.#globals.indexOf(type);
    if (global >= 0 && this.#random(3) === 0) return this.#emit(0x23, ...u32(2 + global));
    const [opcode = 0, ...rest] = this.#literal(type);
    this.#emit(opcode, ...rest);
  }

  #literal(type: Type): number[] {
    const random = this.#random;
    const any = (length: number) => Array.from({ length }, () => random(256));
    switch (type) {
      case "i":
        return [0x41, ...s32(this.#pick([0, 1, 1, 7, random(1 << 30), -random(1 << 30)]))];
      case "I":
        return this.#pick([[0x42, 1], [0x42, ...Array(9).fill(0x80), 0x00], [0x42, 0xff, 0x83, 0x8b, 0x00]]);
      case "f":
        return [0x43, ...any(4)];
      case "F":
        return [0x44, ...any(8)];
      case "r":
        return random(2) === 0 ? [0xd0, 0x70] : [0xd2, ...u32(random(this.#functions.length))];
      case "x":
        return [0xd0, 0x6f];
    }
  }

  #emit(opcode: number, ...rest: number[]): void {
    this.#see(`op ${hex(opcode)}`);
    this.#out.push(opcode, ...rest);
  }

  #prefixed(number: number, ...rest: number[]): void {
    this.#see(`fc ${number}`);
    this.#out.push(0xfc, ...this.#index(number), ...rest);
  }

  /** Now and then longer than it must be. */
  #index(value: number): number[] {
    if (this.#random(10) > 0) return u32(value);
    return [(value & 0x7f) | 0x80, (value >> 7) | 0x80, ...Array(this.#random(3)).fill(0x80), 0x00];
  }

  #see(what: string): void {
    this.#seen.add(what);
  }

  #typeByte(type: Type): number {
    this.#see(`type ${hex(BYTES[type])}`);
    return BYTES[type];
  }

  /** As many as there is room for; without it, one that is there. */
  #typeIndex({ takes, gives }: Signature): number {
    const name = `${takes.join("")}>${gives.join("")}`;
    const known = this.#types.indexOf(name);
    if (known >= 0) return known;
    const bytes = (types: readonly Type[]) => vector(types.map((type) => [this.#typeByte(type)]));
    this.#typeBytes.push([0x60, ...bytes(takes), ...bytes(gives)]);
    return this.#types.push(name) - 1;
  }

  #signature(): Signature {
    return { takes: this.#list(3), gives: this.#list(this.#random(3)) };
  }

  #list(max: number): Type[] {
    return Array.from({ length: this.#random(max + 1) }, () => this.#type());
  }

  #type(): Type {
    return this.#pick(TYPES);
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.#random(items.length)] as T;
  }
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
