import type { AsyncCalls, Calls, NativeLibrary, SymbolDeclaration, SymbolTable } from "./symbols.ts";
import { type ArgumentReader, argumentReader, resultReader } from "./values.ts";

/** C function as a runtime binds it: unchecked, and with that runtime's own values. */
export interface BoundFunction {
  /** Calls the function on this thread. */
  readonly call: (...args: readonly unknown[]) => unknown;
  /** Calls the function on another thread. */
  readonly callAsync: (...args: readonly unknown[]) => Promise<unknown>;
}

/** Arguments of calls that C has not returned from: neither runtime keeps their memory alive by itself. */
const argumentsInUse = new Set<readonly unknown[]>();

/**
 * Puts the checks and conversions that both runtimes share around the functions of a library.
 *
 * @param path Path that it was loaded from
 * @param table Its functions
 * @param bind Binds one function; `undefined` for an optional one that is missing
 */
export function makeLibrary<T extends SymbolTable>(
  path: string | null,
  table: T,
  bind: (name: string, declaration: SymbolDeclaration) => BoundFunction | undefined,
): NativeLibrary<T> {
  const call: Record<string, unknown> = {};
  const callAsync: Record<string, unknown> = {};
  for (const [name, declaration] of Object.entries(table)) {
    const bound = bind(name, declaration);
    if (bound === undefined) continue;
    call[name] = syncCall(bound, name, declaration);
    if (declaration.blocking) callAsync[name] = asyncCall(bound, name, declaration);
  }
  return { path, call: call as Calls<T>, callAsync: callAsync as AsyncCalls<T> };
}

function syncCall({ call }: BoundFunction, name: string, declaration: SymbolDeclaration): unknown {
  const readers = argumentReaders(name, declaration);
  const fromC = resultReader(declaration.result[0]);
  return (...args: unknown[]) => fromC(call(...readAll(name, readers, args)));
}

function asyncCall({ callAsync }: BoundFunction, name: string, declaration: SymbolDeclaration): unknown {
  const readers = argumentReaders(name, declaration);
  const fromC = resultReader(declaration.result[0]);
  return async (...args: unknown[]) => {
    readAll(name, readers, args);
    argumentsInUse.add(args);
    try {
      return fromC(await callAsync(...args));
    } finally {
      argumentsInUse.delete(args);
    }
  };
}

function argumentReaders(name: string, { parameters }: SymbolDeclaration): ArgumentReader[] {
  return parameters.map(([kind, c]) => argumentReader(name, kind, c));
}

/** Checks and converts the arguments of one call, in place. */
function readAll(name: string, readers: readonly ArgumentReader[], args: unknown[]): unknown[] {
  if (args.length !== readers.length) {
    throw new TypeError(`Cannot call ${name}: expected ${readers.length} arguments, got ${args.length}`);
  }
  for (let index = 0; index < args.length; index++) args[index] = readers[index]!(args[index]);
  return args;
}
