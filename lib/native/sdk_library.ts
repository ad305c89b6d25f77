import process from "node:process";
import { RTLD_NODELETE, RTLD_NOW } from "../../ffi/layouts.ts";
import { SDK_SYMBOLS } from "../../ffi/sdk_symbols.ts";
import { LoadFailure, type NativeLibrary, type Pointer } from "../../ffi/symbols.ts";
import {
  DisposedError,
  LibraryLoadError,
  type NativeError,
  type NativeErrorDetails,
  SdkInitError,
} from "../core/errors.ts";
import { cString, libc, readCString } from "./libc.ts";
import { openLibrary } from "./open_library.ts";

/** Functions of the C SDK, as ffi/sdk_symbols.ts declares them. */
export type Sdk = NativeLibrary<typeof SDK_SYMBOLS>;

const SONAMES = ["libaws-nitro-enclaves-sdk-c.so.0unstable", "libaws-nitro-enclaves-sdk-c.so"];

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };

/** Loaded and initialised library, shared by all its users in the process. */
interface SharedLibrary {
  readonly sdk: Sdk;
  readonly allocator: Pointer<"aws_allocator">;
  users: number;
}

const loaded = new Map<string, Sdk>();
const initialised = new Map<Sdk, SharedLibrary>();

/**
 * Initialised C SDK. Set-up is process-wide: the first user initialises it, the last one cleans it
 * up, both on the main thread and at once. The library itself stays loaded for the life of the process.
 *
 * Not guaranteed: users on several JavaScript threads are counted apart, and the first thread that is done
 * cleans up for all. A program uses the C SDK on one of its threads.
 *
 * Corresponds to `aws_nitro_enclaves_library_init`, `aws_nitro_enclaves_get_allocator` and
 * `aws_nitro_enclaves_library_clean_up`.
 */
export class SdkLibrary implements Disposable {
  #shared: SharedLibrary | undefined;

  private constructor(shared: SharedLibrary) {
    this.#shared = shared;
    shared.users++;
  }

  /**
   * Loads the library, and initialises it for its first user.
   *
   * @param path Absolute path of the library. Default: the usual places
   * @throws {LibraryLoadError} When it cannot be loaded
   * @throws {SdkInitError} When it has no allocator
   */
  static acquire(path?: string): SdkLibrary {
    const sdk = loadSdk(path);
    return new SdkLibrary(initialised.get(sdk) ?? initialise(sdk));
  }

  /** Adds a user of the same library, who disposes it separately. */
  share(): SdkLibrary {
    return new SdkLibrary(this.#use());
  }

  /** C functions. */
  get sdk(): Sdk {
    return this.#use().sdk;
  }

  /** Allocator of the library. */
  get allocator(): Pointer<"aws_allocator"> {
    return this.#use().allocator;
  }

  /** Path that it was loaded from. */
  get path(): string {
    return this.#use().sdk.path ?? "";
  }

  /** Leaves the library; the last user cleans it up. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    const shared = this.#shared;
    this.#shared = undefined;
    if (shared === undefined || --shared.users > 0) return;
    initialised.delete(shared.sdk);
    shared.sdk.call.aws_nitro_enclaves_library_clean_up();
  }

  #use(): SharedLibrary {
    if (this.#shared === undefined) throw new DisposedError("SdkLibrary");
    return this.#shared;
  }
}

/**
 * Loads the functions of the C SDK without initialising it: for a thread that works while the main thread holds an
 * {@link SdkLibrary}.
 *
 * @param path Absolute path of the library. Default: the usual places
 * @throws {LibraryLoadError} When no path does; it names each one, and the reason
 */
export function loadSdk(path?: string): Sdk {
  const failures: string[] = [];
  for (const candidate of candidates(path)) {
    const known = loaded.get(candidate);
    if (known !== undefined) return known;
    try {
      const sdk = openLibrary(candidate, SDK_SYMBOLS, { isolated: true });
      pin(candidate);
      loaded.set(candidate, sdk);
      return sdk;
    } catch (error) {
      if (!(error instanceof LoadFailure)) throw error;
      failures.push(describeFailure(error));
    }
  }
  throw new LibraryLoadError(`Cannot load aws-nitro-enclaves-sdk-c: ${failures.join("; ")}`, {
    hint: loadHint(failures, path),
  });
}

/** Chooses a hint by the first failure other than a missing file: most of the usual places do not exist. */
function loadHint(failures: readonly string[], path: string | undefined): string {
  const text = failures.join("\n");
  if (text.includes("permission missing")) return "Deno lacks --allow-ffi, for the library's path or for all";
  if (/symbol \w+ is missing/.test(text)) return "It is another library, or too old: 0.4.2 is known to do";
  if (/ELF|invalid header|wrong architecture|file too short/.test(text)) {
    return `It is not built for this architecture (${process.arch}), or no library`;
  }
  const withoutPaths = candidates(path).reduce((left, tried) => left.replaceAll(tried, ""), text);
  if (/lib[\w.+-]+\.so[\w.]*: cannot open|Error loading shared library lib/.test(withoutPaths)) {
    return "Does the image lack a library that it needs, or have one of another libc? ldd lists them";
  }
  return path === undefined
    ? "Is the library in the image? `library` names its path, and engine direct does without"
    : "Is the path right, seen from this process, and may it be read?";
}

/**
 * Turns NULL or a non-zero code into an error, right after the call, on the thread that made it.
 *
 * @param sdk The library
 * @param result Result of C: a pointer, a code or a success flag
 * @param Failure The error class for this step
 * @param failed Failed step: the action, the C function and the hint
 * @returns The pointer, the code 0 or `true`
 */
export function checkSdk<T>(
  sdk: Sdk,
  result: T,
  Failure: new (message: string, details: NativeErrorDetails) => NativeError,
  failed: { action: string; cFunction: string; hint: string },
): NonNullable<T> {
  if (
    result !== null && result !== undefined && result !== false &&
    (typeof result !== "number" || result === 0)
  ) {
    return result;
  }
  const nativeCode = sdk.call.aws_last_error();
  sdk.call.aws_reset_error();
  const returned = typeof result === "number" ? String(result) : result === false ? "false" : "NULL";
  const name = nativeCode === 0 ? "" : ` (${errorName(sdk, nativeCode)})`;
  throw new Failure(`Cannot ${failed.action}: ${failed.cFunction} returned ${returned}${name}`, {
    cFunction: failed.cFunction,
    nativeCode,
    hint: failed.hint,
  });
}

/**
 * Keeps the runtime from unloading the library when the process ends: threads that end later still run its
 * destructors, and would crash. Without `dlopen` in libc, the runtime's own behaviour must do.
 */
function pin(path: string): void {
  libc().call.dlopen?.(cString(path), RTLD_NOW | RTLD_NODELETE);
}

function errorName(sdk: Sdk, code: number): string {
  const name = sdk.call.aws_error_name(code);
  return name === null ? `error ${code}` : readCString(name);
}

function initialise(sdk: Sdk): SharedLibrary {
  sdk.call.aws_nitro_enclaves_library_init(null);
  try {
    const allocator = checkSdk(sdk, sdk.call.aws_nitro_enclaves_get_allocator(), SdkInitError, {
      action: "initialise the C SDK",
      cFunction: "aws_nitro_enclaves_get_allocator",
      hint: "Is the enclave out of memory?",
    });
    const shared = { sdk, allocator, users: 0 };
    initialised.set(sdk, shared);
    return shared;
  } catch (error) {
    sdk.call.aws_nitro_enclaves_library_clean_up();
    throw error;
  }
}

function describeFailure(failure: LoadFailure): string {
  return failure.symbol === undefined
    ? `${failure.path}: ${failure.message}`
    : `${failure.path}: symbol ${failure.symbol} is missing`;
}

function candidates(path: string | undefined): string[] {
  if (path !== undefined) return [path];
  const architecture = ARCHITECTURES[process.arch] ?? process.arch;
  const folders = [
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib64",
    "/usr/local/lib",
    `/usr/lib/${architecture}-linux-gnu`,
  ];
  return folders.flatMap((folder) => SONAMES.map((name) => `${folder}/${name}`));
}
