/**
 * How a C function is declared as data, and what TypeScript infers from the declaration.
 *
 * A parameter is a pair: the kind that crosses the boundary, and its C declaration. The tests compile
 * every C declaration against the real headers, and check that the kind suits it.
 */

declare const pointee: unique symbol;

/** An address in C memory, branded by what is there. Never NULL: that is `null`. */
export type Pointer<T extends string> = bigint & { readonly [pointee]: T };

/**
 * What a parameter takes.
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

/** What a function returns. A pointer that is NULL arrives as `null`. */
export type ResultKind = "void" | "bool" | "i32" | "u32" | "usize" | "isize" | `pointer ${string}`;

/** One C function. */
export interface SymbolDeclaration {
  /** Kind and C declaration of each parameter, in order. */
  readonly parameters: readonly (readonly [kind: ParameterKind, c: string])[];
  /** Kind and C type of the result. */
  readonly result: readonly [kind: ResultKind, c: string];
  /** May block: also offered as an asynchronous call on another thread. */
  readonly blocking?: true;
  /** Missing in some releases: `undefined` there. */
  readonly optional?: true;
  /** The last parameter stands in a C `...`. */
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
  /** What was loaded; `null` is the program itself. */
  readonly path: string | null;
  /** Calls on this thread. */
  readonly call: Calls<T>;
  /** Calls on another thread. The arguments' memory is kept alive until C returns. */
  readonly callAsync: AsyncCalls<T>;
}

/** Why a library could not be loaded. */
export class LoadFailure extends Error {
  /** What was tried. */
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

/** Why this runtime cannot call C at all, whatever the library. */
export class FfiFailure extends Error {
  /** What to do about it. */
  readonly hint: string;

  constructor(reason: string, hint: string, cause?: unknown) {
    super(reason, { cause });
    this.name = "FfiFailure";
    this.hint = hint;
  }
}

/** What a loader does for one runtime. */
export interface Loader {
  /** Where libc may be, best first; `null` is the program itself. */
  readonly libcPaths: readonly (string | null)[];
  /** How many asynchronous calls may run at once without starving the runtime. */
  readonly maxAsyncCalls: number;
  /**
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
