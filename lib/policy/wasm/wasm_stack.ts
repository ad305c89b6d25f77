import type { WasmReader } from "./wasm_reader.ts";
import type { Signature } from "./wasm_sections.ts";

/**
 * A stretch of code that runs at most once between two charges: a function's body or a loop's. Or a single
 * instruction with a length, which costs what its length costs.
 */
export interface Segment {
  /** Where its charge goes: an offset into the module. */
  readonly at: number;
  /** What one pass costs at most, in instructions; an expensive one counts as several. */
  weight: number;
  /** Whether it is an instruction with a length; the number of bytes or entries is on top of the stack. */
  readonly isBulk: boolean;
}

/** A block that is open; a function's body is one. */
export interface Block extends Signature {
  /** What its instructions count for. */
  readonly segment: Segment;
  /** Values on the stack below its own. */
  readonly base: number;
}

const OUTSIDE: Block = { parameters: 0, results: 0, segment: { at: 0, weight: 0, isBulk: false }, base: 0 };

/**
 * The blocks that are open and how many values are on the stack, at most: code that is not reached can seem to have
 * more. And what follows from it, the work of the engine's compiler: for each branch and each end of a block it
 * passes over all locals and all values on the stack.
 */
export class CodeStack {
  /** The innermost block. */
  block: Block = OUTSIDE;
  /** Values on the stack. */
  height = 0;
  readonly #maxVisits: number;
  readonly #blocks: Block[] = [];
  #locals = 0;
  #visits = 0;

  /** @param maxVisits How many values and locals the compiler may visit, for all functions together */
  constructor(maxVisits: number) {
    this.#maxVisits = maxVisits;
  }

  /** Whether there is a block that is not closed yet. */
  get isOpen(): boolean {
    return this.#blocks.length > 0;
  }

  /** @param locals How many the next function has, its parameters among them */
  begin(locals: number): void {
    this.#locals = locals;
    this.height = 0;
  }

  /**
   * @param type What the block takes from the stack and leaves there
   * @param segment What its instructions count for
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
   * @param pops How many values an instruction takes
   * @param pushes How many it leaves
   */
  use(pops: number, pushes: number): void {
    this.height = Math.max(this.block.base, this.height - pops) + pushes;
  }

  /** Behind a branch that is always taken nothing runs until the block ends. */
  leave(): void {
    this.height = this.block.base;
  }

  /**
   * Counts the compiler's work.
   *
   * @param body Where it is
   * @param times How often it passes over all locals and values on the stack
   * @param more Visits besides
   * @throws {WasmFormatError} When it is too much
   */
  visit(body: WasmReader, times: number, more = 0): void {
    this.#visits += times * (1 + this.#locals + this.height) + more;
    if (this.#visits <= this.#maxVisits) return;
    body.fail("its code has too many branches for its locals and values on the stack");
  }
}
