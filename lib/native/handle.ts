import process from "node:process";
import type { Pointer } from "../../ffi/symbols.ts";
import { DisposedError } from "../core/errors.ts";

/** Reports handles that were collected without dispose. It never frees: C may still be using them. */
const leaks = new FinalizationRegistry<string>((what) => {
  process.emitWarning(`${what} was collected without dispose; its C memory is lost`, "EnclaveKmsLeak");
});

/**
 * Owner of one C allocation: released once, on dispose, by the function it was made with.
 *
 * The pointer is for the other classes of this folder; it must not leave lib/native.
 */
export abstract class Handle<T extends string> implements Disposable {
  #pointer: Pointer<T> | undefined;
  readonly #what: string;
  readonly #release: (pointer: Pointer<T>) => void;

  /**
   * Takes an allocation over.
   *
   * @param what Name of the class, for messages
   * @param pointer Address of the allocation, owned from now on
   * @param release Function that gives it back to C
   */
  protected constructor(what: string, pointer: Pointer<T>, release: (pointer: Pointer<T>) => void) {
    this.#what = what;
    this.#pointer = pointer;
    this.#release = release;
    leaks.register(this, what, this);
  }

  /**
   * Address of the allocation.
   *
   * @throws {DisposedError} After dispose
   */
  get pointer(): Pointer<T> {
    if (this.#pointer === undefined) throw new DisposedError(this.#what);
    return this.#pointer;
  }

  /** Gives the allocation back to C. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    if (this.#pointer === undefined) return;
    const pointer = this.#pointer;
    this.#pointer = undefined;
    leaks.unregister(this);
    this.#release(pointer);
  }
}
