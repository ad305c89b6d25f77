import { makeLibrary } from "./library.ts";
import { type Loader, LoadFailure, type NativeLibrary, type SymbolTable } from "./symbols.ts";

/** Deno runs at most 32 blocking calls at once; half stays free for others. */
const MAX_ASYNC_CALLS = 16;

const ASYNC_SUFFIX = " on another thread";

type RawFunction = (...args: unknown[]) => unknown;

/** Loads libraries with `Deno.dlopen`. Addresses cross as bigints, so a path-scoped `--allow-ffi` is enough. */
export const loader: Loader = {
  libcPaths: [
    `/lib/${Deno.build.arch}-linux-gnu/libc.so.6`,
    `/usr/lib/${Deno.build.arch}-linux-gnu/libc.so.6`,
    "/lib64/libc.so.6",
    "/usr/lib64/libc.so.6",
    "/usr/lib/libc.so.6",
  ],
  opensProgram: false,
  maxAsyncCalls: MAX_ASYNC_CALLS,

  open<T extends SymbolTable>(path: string | null, table: T): NativeLibrary<T> {
    if (path === null) throw new LoadFailure("libc", "Deno needs the path of a library");
    const symbols = load(path, table);
    return makeLibrary(path, table, (name) => {
      const call = symbols[name];
      const callAsync = symbols[name + ASYNC_SUFFIX];
      if (!call) return undefined;
      return { call, callAsync: async (...args) => await callAsync?.(...args) };
    });
  },
};

function load(path: string, table: SymbolTable): Record<string, RawFunction | null> {
  requirePermission(path);
  try {
    return Deno.dlopen(path, foreignInterface(table)).symbols as Record<string, RawFunction | null>;
  } catch (error) {
    const { message } = error as Error;
    const symbol = /symbol[: ]+["']?(\w+)/.exec(message)?.[1];
    throw new LoadFailure(path, message, symbol !== undefined && symbol in table ? symbol : undefined);
  }
}

/** Checks the permission first, because Deno would stop and prompt on a terminal. */
function requirePermission(path: string): void {
  const { state } = Deno.permissions.querySync({ name: "ffi", path });
  if (state !== "granted") throw new LoadFailure(path, `permission missing, run with --allow-ffi=${path}`);
}

function foreignInterface(table: SymbolTable): Deno.ForeignLibraryInterface {
  const definitions: Record<string, Deno.ForeignFunction> = {};
  for (const [name, declaration] of Object.entries(table)) {
    const definition = {
      name,
      parameters: declaration.parameters.map(([kind]) => denoType(kind)) as Deno.NativeType[],
      result: denoType(declaration.result[0]) as Deno.NativeResultType,
      optional: declaration.optional ?? false,
    };
    definitions[name] = definition;
    if (declaration.blocking) definitions[name + ASYNC_SUFFIX] = { ...definition, nonblocking: true };
  }
  return definitions;
}

function denoType(kind: string): string {
  if (kind.startsWith("bytes")) return "buffer";
  return kind.startsWith("pointer") ? "usize" : kind;
}
