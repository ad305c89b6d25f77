import { DisposedError } from "./errors.ts";

const REDACTED = "[redacted]";

/**
 * Bytes with an owner: wiped when disposed, and shown as `[redacted]` wherever they might be printed.
 *
 * Not guaranteed: JavaScript cannot promise erasure. Copies that you make of `bytes` (a string, a slice,
 * a Buffer) are yours to wipe.
 *
 * @example
 * ```ts
 * import { SecretBytes } from "enclave-kms";
 *
 * using secret = new SecretBytes(new Uint8Array([1, 2, 3]));
 * secret.bytes.length; // 3
 * `${secret}`; // "[redacted]"
 * ```
 */
export class SecretBytes implements Disposable {
  #bytes: Uint8Array<ArrayBuffer> | undefined;

  /**
   * Takes ownership of `bytes`: they are overwritten with zeros on dispose.
   *
   * @param bytes The secret, of any length, backed by an ArrayBuffer of its own
   * @throws {TypeError} When it is no Uint8Array
   */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    checkBytes(bytes);
    this.#bytes = bytes;
  }

  /**
   * Copies `bytes` into memory of its own; the caller keeps the original, and the duty to wipe it.
   *
   * @param bytes The secret to copy, of any length
   * @returns The owner of the copy
   * @throws {TypeError} When it is no Uint8Array
   */
  static copyOf(bytes: Uint8Array): SecretBytes {
    checkBytes(bytes);
    const copy = allocateOffHeap(bytes.length);
    copy.set(bytes);
    return new SecretBytes(copy);
  }

  /**
   * Bytes of the secret itself, not a copy.
   *
   * @throws {DisposedError} After dispose
   */
  get bytes(): Uint8Array<ArrayBuffer> {
    if (this.#bytes === undefined) throw new DisposedError("SecretBytes");
    return this.#bytes;
  }

  /** Number of bytes; 0 after dispose. */
  get length(): number {
    return this.#bytes?.length ?? 0;
  }

  /** Overwrites the bytes with zeros. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#bytes?.fill(0);
    this.#bytes = undefined;
  }

  /** Returns `[redacted]`, never the secret. */
  toString(): string {
    return REDACTED;
  }

  /** Returns `[redacted]`, never the secret. */
  toJSON(): string {
    return REDACTED;
  }

  /** Returns `[redacted]`, never the secret. */
  [Symbol.toPrimitive](): string {
    return REDACTED;
  }

  /** Returns the text that `console.log` shows on Node, never the secret. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `SecretBytes ${REDACTED}`;
  }

  /** Returns the text that `console.log` shows on Deno, never the secret. */
  [Symbol.for("Deno.customInspect")](): string {
    return `SecretBytes ${REDACTED}`;
  }
}

/**
 * Allocates zeroed memory that V8 never moves. A small `new Uint8Array(n)` lives on the JavaScript heap, and the
 * collector leaves copies of it behind when it moves it; an ArrayBuffer of its own stays in place.
 *
 * @param length Length in bytes
 * @returns The memory
 */
export function allocateOffHeap(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(length));
}

function checkBytes(bytes: unknown): void {
  if (!(bytes instanceof Uint8Array)) throw new TypeError("SecretBytes holds a Uint8Array and nothing else");
}
