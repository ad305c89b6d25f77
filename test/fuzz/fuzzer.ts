import process from "node:process";
import { CodeCoverage, type Place } from "./coverage.ts";
import { mutate } from "./mutator.ts";
import { Random } from "./random.ts";
import { Finding, type FuzzTarget } from "./target.ts";

/** Number of runs, and inputs to begin from. */
export interface FuzzOptions {
  /** Number of inputs to try. */
  readonly runs: number;
  /** 0 to 2^32 - 1: decides every input. */
  readonly seed: number;
  /** Known inputs; the target's seeds if there are none. */
  readonly corpus: readonly Uint8Array[];
  /** Sees every input before it is run: what a watchdog tells of, if the input never ends. */
  readonly onInput?: ((input: Uint8Array) => void) | undefined;
  /** Told every batch. */
  readonly onProgress?: ((result: FuzzResult) => void) | undefined;
}

/** Result of a run. */
export interface FuzzResult {
  readonly runs: number;
  /** Pieces of code of the target's files that were found. */
  readonly places: number;
  /** Count of each verdict. */
  readonly verdicts: ReadonlyMap<string, number>;
  /** Inputs that were the first to reach a place or a verdict, in order; the corpus comes first. */
  readonly corpus: readonly Uint8Array[];
  /** Inputs that broke a rule. */
  readonly findings: readonly FuzzFinding[];
}

/** An input that breaks a rule. */
export interface FuzzFinding {
  readonly input: Uint8Array;
  readonly error: unknown;
}

const BATCH = 1024;
/** An input of a few kilobytes may not take longer, in milliseconds of CPU time. */
const MAX_CPU_MS = 1500;
/** Nor may a batch, in which nothing is kept, enlarge the process by more, in bytes. */
const MAX_GROWTH = 192 * 1024 * 1024;
/** One run in so many is done again, and must come to the same. */
const REPEAT_EVERY = 16;
const MAX_FINDINGS = 10;
/** Most inputs kept of a batch that reaches many places at once: others will lead to the rest. */
const MAX_FOUND = 8;

/**
 * Tries inputs, and keeps those that reach a new piece of code or a new verdict as a basis for more.
 *
 * @param target Target to run
 * @param options Number of runs, and inputs to begin from
 */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzResult> {
  const coverage = new CodeCoverage(target.covers);
  const run = new Run(target, options, coverage);
  await run.begin();
  while (run.result().runs < options.runs && run.result().findings.length < MAX_FINDINGS) {
    await run.batch(Math.min(target.batch ?? BATCH, options.runs - run.result().runs));
    options.onProgress?.(run.result());
  }
  return run.result();
}

class Run {
  readonly #target: FuzzTarget;
  readonly #options: FuzzOptions;
  readonly #coverage: CodeCoverage;
  readonly #random: Random;
  readonly #corpus: Uint8Array[] = [];
  readonly #verdicts = new Map<string, number>();
  readonly #findings: FuzzFinding[] = [];
  #runs = 0;

  constructor(target: FuzzTarget, options: FuzzOptions, coverage: CodeCoverage) {
    this.#target = target;
    this.#options = options;
    this.#coverage = coverage;
    this.#random = new Random(options.seed);
  }

  result(): FuzzResult {
    return {
      runs: this.#runs,
      places: this.#coverage.places,
      verdicts: this.#verdicts,
      corpus: this.#corpus,
      findings: this.#findings,
    };
  }

  async begin(): Promise<void> {
    const { corpus } = this.#options;
    const seeds = corpus.length > 0 ? corpus : await this.#target.seeds();
    this.#corpus.push(...seeds);
    this.#coverage.skip();
    for (const seed of seeds) await this.#try(seed, true);
    this.#coverage.take();
  }

  async batch(size: number): Promise<void> {
    const { maxLength, dictionary } = this.#target;
    const others = { corpus: this.#corpus, dictionary };
    const inputs = Array.from(
      { length: size },
      () => mutate(this.#choose(), this.#random, others, maxLength),
    );
    const before = { cpu: process.cpuUsage(), rss: process.memoryUsage.rss() };
    const firsts: Uint8Array[] = [];
    for (const input of inputs) if (await this.#try(input, false)) firsts.push(input);
    this.#runs += size;
    const cpuMs = process.cpuUsage(before.cpu).user / 1000;
    const isLarge = process.memoryUsage.rss() - before.rss > MAX_GROWTH;
    const reached = this.#coverage.take();
    if (reached.length > 0) firsts.push(...await this.#whoReached(inputs, reached));
    this.#corpus.push(...new Set(firsts));
    if (cpuMs > MAX_CPU_MS || isLarge) await this.#whoIsDear(inputs);
  }

  /** Chooses an input, half of the time the newest: it leads on. */
  #choose(): Uint8Array {
    const corpus = this.#corpus;
    const newest = this.#random.below(2) === 0 ? Math.min(16, corpus.length) : corpus.length;
    return corpus[corpus.length - 1 - this.#random.below(newest)] ?? new Uint8Array();
  }

  /** @returns Whether its verdict is a new one */
  async #try(input: Uint8Array, isSeed: boolean): Promise<boolean> {
    this.#options.onInput?.(input);
    try {
      const verdict = await this.#verdict(input);
      if (isSeed || this.#random.below(REPEAT_EVERY) === 0) {
        const again = await this.#verdict(input);
        if (again !== verdict) throw new Finding(`once ${verdict}, then ${again}`);
      }
      const count = this.#verdicts.get(verdict) ?? 0;
      this.#verdicts.set(verdict, count + 1);
      return count === 0 && !isSeed;
    } catch (error) {
      if (this.#findings.length < MAX_FINDINGS) this.#findings.push({ input, error });
      return false;
    }
  }

  #verdict(input: Uint8Array): string | Promise<string> {
    return this.#target.run(input.slice() as Uint8Array<ArrayBuffer>);
  }

  /** Finds the first input that reached each place, by halves. */
  async #whoReached(inputs: readonly Uint8Array[], places: readonly Place[]): Promise<Uint8Array[]> {
    const found: Uint8Array[] = [];
    for (let left = places; left.length > 0 && found.length < MAX_FOUND;) {
      const [place, ...others] = left as [Place, ...Place[]];
      let candidates = inputs;
      while (candidates.length > 1) {
        const half = candidates.slice(0, candidates.length >> 1);
        candidates = await this.#reaches(half, place) ? half : candidates.slice(half.length);
      }
      found.push(...candidates);
      left = [];
      for (const other of others) if (!await this.#reaches(candidates, other)) left = [...left, other];
    }
    return found;
  }

  async #reaches(inputs: readonly Uint8Array[], place: Place): Promise<boolean> {
    this.#coverage.skip();
    for (const input of inputs) await this.#quietly(input);
    return this.#coverage.tookPlace(place);
  }

  async #quietly(input: Uint8Array): Promise<void> {
    try {
      await this.#verdict(input);
    } catch {
      // It is among the findings already.
    }
  }

  /** Runs a dear batch again, one by one, and reports an input that takes much too long by itself. */
  async #whoIsDear(inputs: readonly Uint8Array[]): Promise<void> {
    for (const input of inputs) {
      const before = { cpu: process.cpuUsage(), rss: process.memoryUsage.rss() };
      await this.#quietly(input);
      const cpuMs = process.cpuUsage(before.cpu).user / 1000;
      const growth = process.memoryUsage.rss() - before.rss;
      if (cpuMs > MAX_CPU_MS / 3) {
        this.#findings.push({ input, error: new Finding(`it takes ${Math.round(cpuMs)} ms`) });
      }
      if (growth > MAX_GROWTH) {
        this.#findings.push({ input, error: new Finding(`it takes ${growth} bytes`) });
      }
    }
  }
}
