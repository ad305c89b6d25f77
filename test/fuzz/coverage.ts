import { readFileSync } from "node:fs";
import { type Profiler, Session } from "node:inspector";

/** A place in a file: where a piece of code begins that had not run before. */
export interface Place {
  readonly url: string;
  readonly offset: number;
}

/*
 * One session for the process, from before the readers are loaded: V8 lines the blocks of those functions only that
 * it compiles afterwards.
 */
const session = new Session();
session.connect();
session.post("Profiler.enable");
session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });

/**
 * Which code of our own files has run, by V8's precise coverage. Only Node: Deno's `node:inspector` answers
 * nothing. This module must be imported before the code that it measures.
 *
 * Asking costs milliseconds, whatever has run, so a fuzzer asks once for many runs. There is one count for
 * the process: what one asks for, another does not see.
 */
export class CodeCoverage {
  readonly #covers: readonly string[];
  readonly #seen = new Map<string, Uint8Array>();
  #places = 0;

  /** @param covers The files that count, by the ends of their paths */
  constructor(covers: readonly string[]) {
    this.#covers = covers;
  }

  /** Number of pieces of code found, each the first time that it ran. */
  get places(): number {
    return this.#places;
  }

  /** Takes the places of code that has run since the last call, and never before. */
  take(): readonly Place[] {
    const places: Place[] = [];
    for (const [url, ran] of this.#ranSince()) {
      const seen = this.#seenOf(url, ran.length);
      let wasNew = false;
      for (let offset = 0; offset < ran.length; offset++) {
        const isNew = ran[offset] === 1 && seen[offset] === 0;
        if (isNew && !wasNew) places.push({ url, offset });
        if (isNew) seen[offset] = 1;
        wasNew = isNew;
      }
    }
    this.#places += places.length;
    return places;
  }

  /** Forgets what has run since this was last asked. */
  skip(): void {
    ask();
  }

  /** @returns Whether the code at this place has run since this was last asked */
  tookPlace({ url, offset }: Place): boolean {
    return this.#ranSince().get(url)?.[offset] === 1;
  }

  /** Finds the marks of a file's characters, and makes room where V8 reports more of it. */
  #seenOf(url: string, length: number): Uint8Array {
    const seen = this.#seen.get(url) ?? new Uint8Array();
    if (seen.length >= length) return seen;
    const longer = new Uint8Array(length);
    longer.set(seen);
    this.#seen.set(url, longer);
    return longer;
  }

  /** Marks each character of code that ran since the last call with a 1. */
  #ranSince(): ReadonlyMap<string, Uint8Array> {
    const scripts = ask().filter(({ url }) => this.#covers.some((end) => url.endsWith(end)));
    return new Map(scripts.map(({ url, functions }) => [url, paint(functions)]));
  }
}

/**
 * V8 gives ranges within ranges; the innermost one lines. It leaves out those that ran as often as what is
 * around them, so that only the characters can be compared.
 */
function paint(functions: readonly Profiler.FunctionCoverage[]): Uint8Array {
  const ranges = functions.filter(isFunction).flatMap(({ ranges }) => ranges);
  const painted = new Uint8Array(ranges.reduce((length, { endOffset }) => Math.max(length, endOffset), 0));
  for (const { startOffset, endOffset, count } of outermostFirst(ranges)) {
    painted.fill(count > 0 ? 1 : 0, startOffset, endOffset);
  }
  return painted;
}

/** Tells whether a range is a function. The module itself ran before the first look. */
function isFunction({ functionName, ranges: [whole] }: Profiler.FunctionCoverage): boolean {
  return functionName !== "" || whole?.startOffset !== 0;
}

function outermostFirst(ranges: readonly Profiler.CoverageRange[]): readonly Profiler.CoverageRange[] {
  return [...ranges].sort((a, b) => b.endOffset - b.startOffset - (a.endOffset - a.startOffset));
}

/** Lines of a file that have run. */
export interface LineCoverage {
  /** The end of its path. */
  readonly file: string;
  /** Lines of code within its functions. */
  readonly lines: number;
  /** The numbers of those that have not run. */
  readonly missed: readonly number[];
}

/**
 * Measures the lines that have run since this process began. Only the first call is right: V8 reports less
 * later.
 *
 * @param files Ends of the files' paths
 */
export function lineCoverage(files: readonly string[]): readonly LineCoverage[] {
  return ask().flatMap(({ url, functions }) => {
    const file = files.find((end) => url.endsWith(end));
    if (file === undefined) return [];
    const lines = linesOf(readFileSync(new URL(url), "utf8"), functions);
    const missed = [...lines].filter(([, ran]) => !ran).map(([line]) => line);
    return [{ file, lines: lines.size, missed }];
  });
}

/** The callback is called before `post` returns: the session is to this thread itself. */
function ask(): readonly Profiler.ScriptCoverage[] {
  let result: readonly Profiler.ScriptCoverage[] = [];
  session.post("Profiler.takePreciseCoverage", (error, answer) => {
    if (error !== null) throw error;
    result = answer.result;
  });
  return result;
}

/** Finds for each line of code within a function whether it has run. */
function linesOf(
  source: string,
  functions: readonly Profiler.FunctionCoverage[],
): ReadonlyMap<number, boolean> {
  const ran = paint(functions);
  const isInside = new Uint8Array(source.length);
  for (const { ranges: [whole] } of functions.filter(isFunction)) {
    if (whole !== undefined) isInside.fill(1, whole.startOffset, whole.endOffset);
  }
  const lines = new Map<number, boolean>();
  let offset = 0;
  for (const [index, line] of source.split("\n").entries()) {
    const start = offset + line.length - line.trimStart().length;
    offset += line.length + 1;
    const isCode = /\w/.test(line) && !/^\s*(?:\/\/|\/?\*)/.test(line);
    if (isCode && isInside[start] === 1) lines.set(index + 1, ran[start] === 1);
  }
  return lines;
}
