import type { WasmReader } from "./wasm_reader.ts";
import type { Signature } from "./wasm_sections.ts";

/**
 * Stretch of code that runs at most once between two charges: the body of a function or loop, or a single instruction
 * whose cost depends on a length.
 */
export interface Segment {
  /** Offset in the module at which its charge goes. */
  readonly at: number;
  /** Most that one pass costs, in instructions; an expensive one counts as several. */
  weight: number;
  /** Whether it is an instruction with a length; the number of bytes or entries is on top of the stack. */
  readonly isBulk: boolean;
}

/** Open block; a function's body is one. */
export interface Block extends Signature {
  /** Segment that its instructions count for. */
  readonly segment: Segment;
  /** Number of values on the stack below its own. */
  readonly base: number;
}

const OUTSIDE: Block = { parameters: 0, results: 0, segment: { at: 0, weight: 0, isBulk: false }, base: 0 };

/**
 * Open blocks and the most values on the stack (unreached code can seem to have more), and the resulting work of the
 * engine's compiler: for each branch and each end of a block it visits all locals and all values on the stack.
 */
export class CodeStack {
  /** Innermost block. */
  block: Block = OUTSIDE;
  /** Number of values on the stack. */
  height = 0;
  readonly #maxVisits: number;
  readonly #blocks: Block[] = [];
  #locals = 0;
  #visits = 0;

  /**
   * Starts outside of all functions.
   *
   * @param maxVisits Number of values and locals that the compiler may visit, for all functions together
   */
  constructor(maxVisits: number) {
    this.#maxVisits = maxVisits;
  }

  /** Whether there is a block that is not closed yet. */
  get isOpen(): boolean {
    return this.#blocks.length > 0;
  }

  /** Begins a function with this number of locals, its parameters among them. */
  begin(locals: number): void {
    this.#locals = locals;
    this.height = 0;
  }

  /**
   * Opens a block.
   *
   * @param type Values that it takes from the stack and leaves there
   * @param segment Segment that its instructions count for
   */
  open(type: Signature, segment: Segment): void {
    const base = Math.max(this.block.base, this.height - type.parameters);
    this.block = { parameters: type.parameters, results: type.results, segment, base };
    this.#blocks.push(this.block);
    this.height = base + type.parameters;
  }

  /** Begins the other half of an `if`. */
  turn(): void {
    this.height = this.block.base + this.block.parameters;
  }

  /** Ends the innermost block. */
  close(): void {
    const { base, results } = this.block;
    this.#blocks.pop();
    this.block = this.#blocks[this.#blocks.length - 1] ?? OUTSIDE;
    this.height = base + results;
  }

  /**
   * Counts the values of an instruction.
   *
   * @param pops Number of values that it takes
   * @param pushes Number of values that it leaves
   */
  use(pops: number, pushes: number): void {
    this.height = Math.max(this.block.base, this.height - pops) + pushes;
  }

  /** Ends reachable code: behind a branch that is always taken, nothing runs until the block ends. */
  leave(): void {
    this.height = this.block.base;
  }

  /**
   * Counts the compiler's work.
   *
   * @param body Reader at the instruction
   * @param times Number of times that it visits all locals and values on the stack
   * @param more Additional visits
   * @throws {WasmFormatError} When the work is too much
   */
  visit(body: WasmReader, times: number, more = 0): void {
    this.#visits += times * (1 + this.#locals + this.height) + more;
    if (this.#visits <= this.#maxVisits) return;
    body.fail("its code has too many branches for its locals and values on the stack");
  }
}
