/**
 * Types that declare C functions as data, and the calls that TypeScript infers from a declaration.
 *
 * A parameter is a pair: the kind that crosses the boundary, and its C declaration. The tests compile
 * every C declaration against the real headers, and check that the kind suits it.
 */

declare const pointee: unique symbol;

/** Address in C memory, branded by what lies there. Never NULL: that is `null`. */
export type Pointer<T extends string> = bigint & { readonly [pointee]: T };

/**
 * Kind of value that a parameter takes.
 *
 * - `bytes`: a `Uint8Array` of at least one byte; C sees its first byte and may write. `bytes?`: or `null`
 * - `pointer X`: an address of an X, typed. `pointer? X`: or `null`. `pointer any`: of anything
 * - `i32`, `u32`, `usize`: an integer in range
 */
export type ParameterKind =
  | "bytes"
  | "bytes?"
  | "i32"
  | "u32"
  | "usize"
  | `pointer ${string}`
  | `pointer? ${string}`;

/** Kind of value that a function returns. A NULL pointer arrives as `null`. */
export type ResultKind = "void" | "bool" | "i32" | "u32" | "usize" | "isize" | `pointer ${string}`;

/** Declaration of one C function. */
export interface SymbolDeclaration {
  /** Kind and C declaration of each parameter, in order. */
  readonly parameters: readonly (readonly [kind: ParameterKind, c: string])[];
  /** Kind and C type of the result. */
  readonly result: readonly [kind: ResultKind, c: string];
  /** Whether it may block, and is also offered as an asynchronous call on another thread. */
  readonly blocking?: true;
  /** Whether some releases lack it; it is `undefined` there. */
  readonly optional?: true;
  /** Whether the last parameter stands in a C `...`. */
  readonly variadic?: true;
}

/** The functions of one library that we use, by C name. */
export type SymbolTable = Readonly<Record<string, SymbolDeclaration>>;

type Argument<K extends ParameterKind> = K extends "bytes" ? Uint8Array<ArrayBuffer>
  : K extends "bytes?" ? Uint8Array<ArrayBuffer> | null
  : K extends "pointer any" ? Pointer<string>
  : K extends `pointer? ${infer T}` ? Pointer<T> | null
  : K extends `pointer ${infer T}` ? Pointer<T>
  : number;

type Arguments<P extends SymbolDeclaration["parameters"]> = { [I in keyof P]: Argument<P[I][0]> };

type Result<K extends ResultKind> = K extends "void" ? void
  : K extends "bool" ? boolean
  : K extends `pointer ${infer T}` ? Pointer<T> | null
  : number;

type Call<D extends SymbolDeclaration> = (...args: Arguments<D["parameters"]>) => Result<D["result"][0]>;

type AsyncCall<D extends SymbolDeclaration> = (
  ...args: Arguments<D["parameters"]>
) => Promise<Result<D["result"][0]>>;

type Present<D extends SymbolDeclaration, F> = D extends { optional: true } ? F | undefined : F;

/** Synchronous calls, one per declared function. */
export type Calls<T extends SymbolTable> = { readonly [N in keyof T]: Present<T[N], Call<T[N]>> };

/** Calls on another thread, one per declared function that may block. */
export type AsyncCalls<T extends SymbolTable> = {
  readonly [N in keyof T as T[N] extends { blocking: true } ? N : never]: Present<T[N], AsyncCall<T[N]>>;
};

/** A loaded library. It stays loaded for the life of the process: unloading one is never safe. */
export interface NativeLibrary<T extends SymbolTable> {
  /** Path of the library; `null` is the program itself. */
  readonly path: string | null;
  /** Calls on this thread. */
  readonly call: Calls<T>;
  /** Calls on another thread. The arguments' memory is kept alive until C returns. */
  readonly callAsync: AsyncCalls<T>;
}

/** Failure to load one library. */
export class LoadFailure extends Error {
  /** Path that was tried. */
  readonly path: string;
  /** The symbol that is missing, when the library itself was found. */
  readonly symbol: string | undefined;

  constructor(path: string, reason: string, symbol?: string) {
    super(reason);
    this.name = "LoadFailure";
    this.path = path;
    this.symbol = symbol;
  }
}

/** Failure of this runtime to call C at all, whatever the library. */
export class FfiFailure extends Error {
  /** Likeliest remedy, in one sentence. */
  readonly hint: string;

  constructor(reason: string, hint: string, cause?: unknown) {
    super(reason, { cause });
    this.name = "FfiFailure";
    this.hint = hint;
  }
}

/** Loader of C libraries for one runtime. */
export interface Loader {
  /** Paths that libc may have, best first; `null` is the program itself. */
  readonly libcPaths: readonly (string | null)[];
  /** Whether `null` opens the program itself, with the libraries that it was linked with. */
  readonly opensProgram: boolean;
  /** Number of asynchronous calls that may run at once without starving the runtime. */
  readonly maxAsyncCalls: number;
  /**
   * Loads a library and binds its functions.
   *
   * @param path Absolute path, or `null` for the program itself
   * @param table The functions to bind
   * @param options `isolated`: keep the library's own symbols in front of the program's (RTLD_DEEPBIND)
   * @throws {LoadFailure} When the library or one of its symbols is missing
   * @throws {FfiFailure} When no library could be loaded
   */
  open<T extends SymbolTable>(
    path: string | null,
    table: T,
    options?: { isolated?: boolean },
  ): NativeLibrary<T>;
}
