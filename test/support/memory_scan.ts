import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { TcpEndpoint } from "../../mod.ts";

/** What a process can ask KMS for. */
export type MemoryOperation =
  | "decrypt"
  | "encrypt"
  | "generateDataKey"
  | "generateDataKeyPair"
  | "generateRandom"
  | "deriveSharedSecret"
  | "streams";

/** What a process is told to ask for; secrets in disguise. */
export interface MemoryTask {
  /** Default: decrypt. */
  readonly operation?: MemoryOperation;
  /** How often. Default: once. */
  readonly rounds?: number;
  readonly engine: string;
  readonly library: string | undefined;
  readonly region: string;
  readonly endpoint: TcpEndpoint;
  readonly trustedCertificates: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: number[];
  readonly sessionToken: number[];
  /** An ARN; not for decrypt, whose ciphertext knows it. */
  readonly keyId: string;
  /** Base64. */
  readonly ciphertext: string;
  /** What to encrypt. */
  readonly plaintext?: readonly number[];
  /** Whose secret is derived: base64. */
  readonly publicKey?: string;
  readonly encryptionContext: Record<string, string>;
  /** Keeps what is secret, and the secret key, on purpose: to prove that a search would find them. */
  readonly keep: boolean;
}

/** A process that has asked and waits. */
export interface WaitingProcess extends Disposable {
  readonly pid: number;
  /** What it did and how many bytes it got, `decrypted 32`, or an error's code. */
  readonly outcome: string;
  /** What it had and must not have any more, in disguise. */
  readonly secrets: readonly (readonly number[])[];
}

const CHILD = fileURLToPath(new URL("./memory_child.ts", import.meta.url));
const DISGUISE = 0x5a;
const CHUNK_BYTES = 1 << 22;
const PAGE_BYTES = 4096;
const PAGES_AT_ONCE = 1 << 16;

/** The top two bits of an entry of /proc/<pid>/pagemap. */
const PRESENT_OR_SWAPPED = 0xc0;

/** Command lines that run a TypeScript file, by runtime. */
export const RUNTIME_COMMANDS: Readonly<Record<string, readonly string[]>> = {
  Node: ["node"],
  Deno: ["deno", "run", "--quiet", "--no-prompt", "--allow-all"],
};

/** Bytes that a search for the original does not find. */
export function disguiseBytes(bytes: Uint8Array): number[] {
  return [...bytes].map((byte) => byte ^ DISGUISE);
}

/** The original, in memory that V8 does not move. */
export function revealBytes(disguised: readonly number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(disguised.length));
  for (const [index, byte] of disguised.entries()) bytes[index] = byte ^ DISGUISE;
  return bytes;
}

/**
 * Starts a process that asks KMS for something and waits.
 *
 * @param runtime A name in {@link RUNTIME_COMMANDS}
 * @param task For what, and how
 */
export async function askAndWait(runtime: string, task: MemoryTask): Promise<WaitingProcess> {
  const [program = "", ...args] = RUNTIME_COMMANDS[runtime] ?? [];
  const child = spawn(program, [...args, CHILD], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.write(`${JSON.stringify(task)}\n`);
  const line = await firstLine(child);
  return {
    ...JSON.parse(line) as Omit<WaitingProcess, typeof Symbol.dispose>,
    [Symbol.dispose]: () => child.kill("SIGKILL"),
  };
}

/**
 * How often each needle stands in the writable memory of a process.
 *
 * @param pid The process
 * @param needles What to look for, by name
 */
export function countInMemory<N extends string>(
  pid: number,
  needles: Readonly<Record<N, Uint8Array>>,
): Record<N, number> {
  const wanted = Object.entries<Uint8Array>(needles) as [N, Uint8Array][];
  const counts = Object.fromEntries(wanted.map(([name]) => [name, 0])) as Record<N, number>;
  const overlap = Math.max(...wanted.map(([, { length }]) => length)) - 1;
  using memory = new ProcessMemory(pid);
  for (const [start, end] of memory.extents()) {
    for (let offset = start; offset < end; offset += CHUNK_BYTES) {
      const chunk = memory.read(offset, Math.min(CHUNK_BYTES + overlap, end - offset));
      for (const [name, needle] of wanted) counts[name] += occurrences(chunk, needle, CHUNK_BYTES);
    }
  }
  return counts;
}

/** The writable pages of a process that hold anything: a runtime reserves gigabytes and uses little of it. */
class ProcessMemory implements Disposable {
  readonly #maps: string;
  readonly #memory: number;
  readonly #pagemap: number;

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

  read(offset: number, length: number): Uint8Array {
    const chunk = new Uint8Array(length);
    try {
      return chunk.subarray(0, readSync(this.#memory, chunk, 0, length, offset));
    } catch {
      return chunk.subarray(0, 0); // gone meanwhile
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

/** Those that begin before `limit`; the next chunk has the others. */
function occurrences(chunk: Uint8Array, needle: Uint8Array, limit: number): number {
  const buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
  let count = 0;
  for (let at = buffer.indexOf(needle); at >= 0 && at < limit; at = buffer.indexOf(needle, at + 1)) count++;
  return count;
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout?.on("data", (chunk: Uint8Array) => {
      text += String(chunk);
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    child.on("error", reject);
    child.on("close", (code) => reject(new Error(`The process ended with ${code}`)));
  });
}
