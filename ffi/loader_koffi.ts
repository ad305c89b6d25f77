import process from "node:process";
import { KOFFI_PLACE, requireKoffi } from "#koffi";
import { type BoundFunction, makeLibrary } from "./library.ts";
import {
  FfiFailure,
  type Loader,
  LoadFailure,
  type NativeLibrary,
  type SymbolDeclaration,
  type SymbolTable,
} from "./symbols.ts";

/** koffi's default of 128 KiB overflows in the SDK, as a bare SIGSEGV. */
const ASYNC_STACK_BYTES = 4 << 20;

/** libuv has four threads unless the environment says otherwise; one stays free for files and DNS. */
const MAX_ASYNC_CALLS = 3;

const KOFFI_TYPES = {
  void: "void",
  bool: "bool",
  i32: "int32_t",
  u32: "uint32_t",
  usize: "size_t",
  isize: "int64_t",
} as const;

type Koffi = ReturnType<typeof requireKoffi>;
type KoffiLibrary = ReturnType<Koffi["load"]>;
type KoffiFunction = ReturnType<KoffiLibrary["func"]>;

/** Loads libraries with koffi, on Node.js. */
export const loader: Loader = {
  libcPaths: [null],
  opensProgram: true,
  maxAsyncCalls: MAX_ASYNC_CALLS,

  open<T extends SymbolTable>(
    path: string | null,
    table: T,
    options: { isolated?: boolean } = {},
  ): NativeLibrary<T> {
    const koffi = loadKoffi();
    configureStacks(koffi);
    const library = load(koffi, path, options.isolated ?? false);
    return makeLibrary(path, table, (name, declaration) => bind(library, path, name, declaration));
  },
};

function loadKoffi(): Koffi {
  try {
    return requireKoffi();
  } catch (error) {
    throw new FfiFailure(...explain(error as NodeJS.ErrnoException), error);
  }
}

/** Explains why koffi did not load, and what to do about it. */
function explain({ code, message }: NodeJS.ErrnoException): [reason: string, hint: string] {
  const addon = `@koromix/koffi-${process.platform}-${process.arch}`;
  if (code === "ERR_DLOPEN_DISABLED") {
    const hint = "Run node with --allow-addons, or without --permission and --no-addons";
    return ["Node.js may not load native code", hint];
  }
  if (code === "ERR_ACCESS_DENIED") {
    return ["Node.js may not read koffi", `Run node with --allow-fs-read for koffi and ${addon}`];
  }
  if (code === "MODULE_NOT_FOUND" && message.includes("'koffi'")) {
    return ["koffi is not installed", `Install koffi and ${addon} ${KOFFI_PLACE}`];
  }
  if (message.includes("Cannot find the native Koffi module")) {
    const hint =
      `Install ${addon} ${KOFFI_PLACE}: --omit=optional and installing on another platform leave it out`;
    return ["koffi's native part is missing", hint];
  }
  const [reason = ""] = message.split("\n", 1);
  return [
    `koffi does not load: ${reason}`,
    `Install koffi and ${addon} again, in one version and on this platform`,
  ];
}

/** Sets the size of stacks, which is possible once: before anyone in the process loads a library. */
function configureStacks(koffi: Koffi): void {
  const { async_stack_size: size } = koffi.config();
  if (size !== undefined && size >= ASYNC_STACK_BYTES) return;
  try {
    koffi.config({ async_stack_size: ASYNC_STACK_BYTES });
  } catch {
    throw new FfiFailure(
      `koffi was already in use with a stack of ${size} bytes for asynchronous calls, and C needs ${ASYNC_STACK_BYTES}`,
      "Load this library before what else uses koffi",
    );
  }
}

function load(koffi: Koffi, path: string | null, isolated: boolean): KoffiLibrary {
  try {
    return koffi.load(path, { deep: isolated });
  } catch (error) {
    throw new LoadFailure(path ?? "libc", (error as Error).message);
  }
}

function bind(
  library: KoffiLibrary,
  path: string | null,
  name: string,
  declaration: SymbolDeclaration,
): BoundFunction | undefined {
  const parameters = declaration.parameters.map(([kind]) => koffiType(kind));
  try {
    const bound = library.func(name, koffiType(declaration.result[0]), parameters);
    return { call: bound, callAsync: (...args) => callElsewhere(bound, args) };
  } catch (error) {
    if (declaration.optional) return undefined;
    throw new LoadFailure(path ?? "libc", (error as Error).message, name);
  }
}

function callElsewhere(bound: KoffiFunction, args: readonly unknown[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    bound.async(...args, (error: Error | null, result: unknown) => error ? reject(error) : resolve(result));
  });
}

function koffiType(kind: string): string {
  if (kind.startsWith("bytes")) return "uint8_t *";
  if (kind.startsWith("pointer")) return "uintptr_t";
  return kind in KOFFI_TYPES ? KOFFI_TYPES[kind as keyof typeof KOFFI_TYPES] : kind;
}
