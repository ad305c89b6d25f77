import { Buffer } from "node:buffer";
import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import { type OperationName, OPERATIONS } from "../../lib/kms/operations/operations.ts";

/**
 * Counts of calls that the sources under test made with some bytes. The simulator's in the same process do
 * not count.
 */
export interface SeamCounts {
  /** Times that the bytes' base64 was decoded. */
  decodes: number;
  /** Times that the bytes were copied. */
  copies: number;
  /** Times that the bytes were encoded as base64. */
  encodes: number;
  /** SHA-256 digests of the bytes themselves. */
  digests: number;
  /** SHA-256 digests of longer bytes that hold the bytes' base64: of the body that goes to KMS. */
  bodyDigests: number;
  /** Calls of an operation's check. */
  checks: number;
  /** Deadlines that were made. */
  deadlines: number;
  /** Memory that the bytes were seen in. */
  readonly memories: Set<ArrayBufferLike>;
}

/** A method that is replaced, until it is put back. */
interface Patch {
  readonly owner: Record<string, unknown>;
  readonly name: string;
  readonly original: unknown;
}

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;

const TYPED_ARRAY = Object.getPrototypeOf(Uint8Array.prototype) as object;
const HASH = crypto.createHash("sha256").constructor as { readonly prototype: object };

/** Counts at the seams of both runtimes, until it is disposed. */
export class Seams implements Disposable {
  readonly counts: SeamCounts = {
    ...{ decodes: 0, copies: 0, encodes: 0, digests: 0, bodyDigests: 0, checks: 0, deadlines: 0 },
    memories: new Set(),
  };
  readonly #bytes: Buffer;
  readonly #base64: string;
  readonly #patches: Patch[] = [];

  /** @param bytes The bytes that are followed on their way; no others are like them */
  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes);
    this.#base64 = this.#bytes.toString("base64");
    this.#watchBase64();
    this.#watchCopies();
    this.#watchDigests();
    this.#watchCalls();
    syncBuiltinESMExports();
  }

  [Symbol.dispose](): void {
    for (const { owner, name, original } of this.#patches.splice(0).reverse()) owner[name] = original;
    syncBuiltinESMExports();
  }

  #watchBase64(): void {
    const isDecoded = (text: unknown) => text === this.#base64;
    const decoded = (result: unknown) => {
      this.counts.decodes++;
      this.#see(result);
    };
    this.#patch(Uint8Array.prototype, "setFromBase64", (self, [text]) => {
      if (isDecoded(text)) decoded(self);
    });
    this.#patch(Uint8Array, "fromBase64", (_, [text], result) => isDecoded(text) && decoded(result));
    this.#patch(globalThis, "atob", (_, [text]) => isDecoded(text) && decoded(undefined));
    this.#patch(Buffer.prototype, "write", (self, [text]) => isDecoded(text) && decoded(self));
    this.#patch(Buffer.prototype, "toString", (self, [encoding]) => {
      if (encoding === "base64" && this.#isSame(self)) this.#encoded(self);
    });
    this.#patch(Uint8Array.prototype, "toBase64", (self) => this.#isSame(self) && this.#encoded(self));
  }

  #watchCopies(): void {
    const copied = (source: unknown) => {
      if (this.#isSame(source)) this.counts.copies++;
    };
    this.#patch(TYPED_ARRAY, "set", (_, [source]) => copied(source));
    this.#patch(TYPED_ARRAY, "slice", (self) => copied(self));
    this.#patch(Buffer.prototype, "copy", (self) => copied(self));
    this.#patch(Buffer, "concat", (_, [list]) => (list as readonly unknown[]).forEach(copied));
    this.#patch(Buffer, "from", (_, [source], result) => {
      if (source === this.#base64) this.counts.decodes++;
      else copied(source);
      return result;
    });
    this.#patch(globalThis, "structuredClone", (_, [source]) => copied(source));
  }

  #watchDigests(): void {
    const digested = (data: unknown) => {
      if (this.#isSame(data)) {
        this.counts.digests++;
        this.#see(data);
      } else if (holds(data, this.#base64)) this.counts.bodyDigests++;
    };
    this.#patch(HASH.prototype, "update", (_, [data]) => digested(data));
    // Deno's own is made of the method above.
    if (!("Deno" in globalThis)) this.#patch(crypto, "hash", (_, [, data]) => digested(data));
  }

  #watchCalls(): void {
    for (const name of Object.keys(OPERATIONS) as OperationName[]) {
      for (const method of ["check", "checkJson"]) {
        this.#patch(OPERATIONS[name], method, () => void this.counts.checks++);
      }
      this.#patch(OPERATIONS[name], "secretMember", (_, __, result) => {
        const [, bytes] = result as readonly [string, Uint8Array];
        if (this.#isSame(bytes)) this.#encoded(bytes);
      });
    }
    this.#patch(globalThis, "setTimeout", () => {
      if (/^ *at new Deadline\b/m.test(stack())) this.counts.deadlines++;
    });
  }

  /** Has a method say that it was called, once it has returned, unless the simulator called it. */
  #patch(
    owner: object,
    name: string,
    seen: (self: unknown, args: readonly unknown[], result: unknown) => unknown,
  ): void {
    const patched = owner as Record<string, unknown>;
    const original = patched[name] as AnyFunction | undefined;
    if (original === undefined) return;
    let isInside = false;
    patched[name] = function (this: unknown, ...args: unknown[]): unknown {
      const result = original.apply(this, args);
      if (isInside) return result;
      isInside = true;
      try {
        if (!stack().includes("/sim/")) seen(this, args, result);
      } finally {
        isInside = false;
      }
      return result;
    };
    Object.assign(patched[name] as object, original);
    this.#patches.push({ owner: patched, name, original });
  }

  #encoded(bytes: unknown): void {
    this.counts.encodes++;
    this.#see(bytes);
  }

  #see(bytes: unknown): void {
    if (bytes instanceof Uint8Array) this.counts.memories.add(bytes.buffer);
  }

  #isSame(value: unknown): boolean {
    return value instanceof Uint8Array && value.length === this.#bytes.length && this.#bytes.equals(value);
  }
}

function holds(data: unknown, text: string): boolean {
  if (typeof data === "string") return data.includes(text);
  return data instanceof Uint8Array && data.length > text.length &&
    Buffer.from(data.buffer, data.byteOffset, data.length).includes(text);
}

function stack(): string {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 40;
  const { stack = "" } = new Error();
  Error.stackTraceLimit = stackTraceLimit;
  return stack;
}
