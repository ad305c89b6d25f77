/** Target of a fuzzer, and its verdicts. */
import { isDeepStrictEqual } from "node:util";

/** One of our readers, with what must hold of it whatever it is given. */
export interface FuzzTarget {
  /** Also the name of its corpus. */
  readonly name: string;
  /** The longest input, in bytes: a little more than the reader's own limit. */
  readonly maxLength: number;
  /** For how many runs coverage is asked for once; fewer for a target that takes long. Default: 1024. */
  readonly batch?: number;
  /** Whether what comes of an input may depend on the runtime: on its parser of HTTP, or its OpenSSL. */
  readonly dependsOnRuntime?: boolean;
  /** Words of its language, which mutations put in. */
  readonly dictionary: readonly Uint8Array[];
  /** The files whose blocks count as coverage, by the ends of their paths. */
  readonly covers: readonly string[];
  /** Makes valid inputs to begin with, where the corpus has none. */
  seeds(): Promise<readonly Uint8Array[]>;
  /**
   * Reads one input.
   *
   * @param input May be changed: it is the target's own
   * @returns A word for what came of it, such as `ok` or an error's code; the same input gives the same word
   * @throws Whatever is a finding: an error that is not the reader's own, or a {@link Finding} of an oracle
   */
  run(input: Uint8Array<ArrayBuffer>): string | Promise<string>;
}

/** Something that must not be. */
export class Finding extends Error {
  override readonly name = "Finding";
}

/** Throws a {@link Finding} unless it is so. */
export function expect(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Finding(otherwise);
}

/** Throws a {@link Finding} unless two readers say the same. */
export function expectSame(ours: unknown, theirs: unknown, what: string): void {
  if (!isDeepStrictEqual(ours, theirs)) throw new Finding(`${what}: another reader reads something else`);
}

/**
 * Reads with an oracle.
 *
 * @param what Name of the oracle in a finding
 * @param read Throws when it refuses
 * @throws {Finding} When it refuses what our reader took
 */
export function oracle<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Finding(`${what} refuses what we take: ${error instanceof Error ? error.message : "?"}`);
  }
}

/** @param words Texts, as they stand, or bytes in hex after `0x` */
export function dictionary(...words: readonly string[]): readonly Uint8Array[] {
  return words.map((word) => {
    if (!word.startsWith("0x")) return new TextEncoder().encode(word);
    return Uint8Array.from(word.slice(2).match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
  });
}

/** Encodes the text of a seed. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}
