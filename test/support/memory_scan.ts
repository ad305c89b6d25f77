import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { MemoryAnswer, MemoryCommand, MemorySetup, MemoryTask } from "./memory_messages.ts";
import { RUNTIME_COMMANDS } from "./runtime_commands.ts";

const CHILD = fileURLToPath(new URL("./memory_child.ts", import.meta.url));
const CHUNK_BYTES = 1 << 22;
const PAGE_BYTES = 4096;
const PAGES_AT_ONCE = 1 << 16;

/** The top two bits of an entry of /proc/<pid>/pagemap. */
const PRESENT_OR_SWAPPED = 0xc0;

/** A process that holds a client and asks KMS with it for what it is told, and waits in between. */
export class AskingProcess implements Disposable {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#answers = createInterface(child.stdout!)[Symbol.asyncIterator]();
  }

  /**
   * @param runtime A name in {@link RUNTIME_COMMANDS}
   * @param setup Options of its client
   */
  static async start(runtime: string, setup: MemorySetup): Promise<AskingProcess> {
    const [program = "", ...args] = RUNTIME_COMMANDS[runtime] ?? [];
    const asking = new AskingProcess(
      spawn(program, [...args, CHILD], { stdio: ["pipe", "pipe", "inherit"] }),
    );
    await asking.#tell({ does: "open", setup });
    return asking;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Asks for something, so many times. */
  ask(task: MemoryTask): Promise<MemoryAnswer> {
    return this.#tell({ does: "ask", task });
  }

  /** Closes the client, and leaves the process as it is. */
  async close(): Promise<void> {
    await this.#tell({ does: "close" });
  }

  /** Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }

  async #tell(command: MemoryCommand): Promise<MemoryAnswer> {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error("The process ended");
    return JSON.parse(value) as MemoryAnswer;
  }
}

/**
 * Counts each needle in the writable memory of a process.
 *
 * @param pid The process
 * @param needles Bytes to look for, by name; each longer than {@link STRIDE} bytes
 */
export function countInMemory<N extends string>(
  pid: number,
  needles: Readonly<Record<N, Uint8Array>>,
): Record<N, number> {
  const search = new Search<N>(needles);
  for (const chunk of readMemory(pid, search.overlap)) search.take(chunk, CHUNK_BYTES);
  return search.counts;
}

/**
 * Reads the writable memory of a process in chunks that begin at a page.
 *
 * @param pid The process
 * @param overlap Number of bytes of the next chunk that a chunk includes
 * @returns Chunks, each valid until the next one
 */
export function* readMemory(pid: number, overlap: number): Generator<Uint8Array> {
  using memory = new ProcessMemory(pid);
  for (const [start, end] of memory.extents()) {
    for (let offset = start; offset < end; offset += CHUNK_BYTES) {
      yield memory.read(offset, Math.min(CHUNK_BYTES + overlap, end - offset));
    }
  }
}

/** Step of the search, in bytes: every needle has two bytes on a step. */
const STRIDE = 8;

/**
 * Looks for many needles in one go, however many there are. Deno's `Buffer.indexOf` takes as long for each of
 * them as this takes for all.
 */
export class Search<N extends string> {
  readonly counts: Record<N, number>;
  /** Bytes of the next chunk that a chunk must include. */
  readonly overlap: number;
  /** Needles by two of their first bytes, as one number, with the offset of the two. */
  readonly #places = new Map<number, Place<N>[]>();
  /** Whether there is such a needle. */
  readonly #isWanted = new Uint8Array(1 << 16);

  /** @param needles Bytes to look for, by name; each longer than {@link STRIDE} bytes */
  constructor(needles: Readonly<Record<N, Uint8Array>>) {
    const named = Object.entries<Uint8Array>(needles) as [N, Uint8Array][];
    this.counts = Object.fromEntries(named.map(([name]) => [name, 0])) as Record<N, number>;
    this.overlap = Math.max(...named.map(([, { length }]) => length)) - 1;
    for (const [name, needle] of named) {
      if (needle.length <= STRIDE) throw new RangeError(`${name} is too short to be looked for`);
      for (let before = 0; before < STRIDE; before++) this.#note({ name, needle, before });
    }
  }

  /**
   * Counts those that begin before `limit`; the next chunk has the others.
   *
   * @param chunk A piece of memory, with {@link overlap} bytes of the next
   * @param limit Length without the bytes of the next chunk
   */
  take(chunk: Uint8Array, limit: number): void {
    const isWanted = this.#isWanted;
    for (let at = 0; at + 1 < chunk.length; at += STRIDE) {
      if (isWanted[chunk[at]! << 8 | chunk[at + 1]!] === 1) this.#lookAround(chunk, at, limit);
    }
  }

  #note(place: Place<N>): void {
    const pair = pairAt(place.needle, place.before);
    const places = this.#places.get(pair) ?? [];
    this.#places.set(pair, [...places, place]);
    this.#isWanted[pair] = 1;
  }

  #lookAround(chunk: Uint8Array, at: number, limit: number): void {
    for (const { name, needle, before } of this.#places.get(pairAt(chunk, at)) ?? []) {
      const begin = at - before;
      if (begin >= 0 && begin < limit && isAt(chunk, begin, needle)) this.counts[name]++;
    }
  }
}

/** Place of two bytes in a needle. */
interface Place<N> {
  readonly name: N;
  readonly needle: Uint8Array;
  readonly before: number;
}

/** The writable pages of a process that hold anything: a runtime reserves gigabytes and uses little of it. */
class ProcessMemory implements Disposable {
  readonly #maps: string;
  readonly #memory: number;
  readonly #pagemap: number;
  #chunk = new Uint8Array(2 * CHUNK_BYTES);

  constructor(pid: number) {
    this.#maps = readFileSync(`/proc/${pid}/maps`, "utf8");
    this.#memory = openSync(`/proc/${pid}/mem`, "r");
    this.#pagemap = openSync(`/proc/${pid}/pagemap`, "r");
  }

  /** Runs of pages in memory or in swap. */
  *extents(): Generator<[start: number, end: number]> {
    for (const line of this.#maps.split("\n")) {
      const [, start = "", end = ""] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
      if (start !== "") yield* this.#runs(parseInt(start, 16), parseInt(end, 16));
    }
  }

  /** Valid until the next call. */
  read(offset: number, length: number): Uint8Array {
    if (length > this.#chunk.length) this.#chunk = new Uint8Array(length);
    try {
      return this.#chunk.subarray(0, readSync(this.#memory, this.#chunk, 0, length, offset));
    } catch {
      return this.#chunk.subarray(0, 0); // gone meanwhile
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#memory);
    closeSync(this.#pagemap);
  }

  *#runs(start: number, end: number): Generator<[start: number, end: number]> {
    let begin: number | undefined;
    for (let page = start; page < end; page += PAGES_AT_ONCE * PAGE_BYTES) {
      const entries = new Uint8Array(Math.min(PAGES_AT_ONCE, (end - page) / PAGE_BYTES) * 8);
      readSync(this.#pagemap, entries, 0, entries.length, page / PAGE_BYTES * 8);
      for (let index = 0; index < entries.length / 8; index++) {
        const used = ((entries[index * 8 + 7] ?? 0) & PRESENT_OR_SWAPPED) !== 0;
        const address = page + index * PAGE_BYTES;
        if (used) begin ??= address;
        else if (begin !== undefined) {
          yield [begin, address];
          begin = undefined;
        }
      }
    }
    if (begin !== undefined) yield [begin, end];
  }
}

function pairAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) << 8 | (bytes[at + 1] ?? 0);
}

function isAt(chunk: Uint8Array, begin: number, needle: Uint8Array): boolean {
  if (begin + needle.length > chunk.length) return false;
  for (let index = 0; index < needle.length; index++) {
    if (chunk[begin + index] !== needle[index]) return false;
  }
  return true;
}
