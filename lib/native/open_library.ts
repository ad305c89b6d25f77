import { loader } from "#loader";
import { FfiFailure, type NativeLibrary, type SymbolTable } from "../../ffi/symbols.ts";
import { LibraryLoadError } from "../core/errors.ts";

/**
 * Opens a C library with the runtime's loader.
 *
 * @param path Absolute path, or `null` for the program itself
 * @param table The functions to bind
 * @param options `isolated`: keep the library's own symbols in front of the program's
 * @throws {LibraryLoadError} When this runtime cannot call C at all
 * @throws {LoadFailure} When this library or one of its symbols is missing: another path may do
 */
export function openLibrary<T extends SymbolTable>(
  path: string | null,
  table: T,
  options?: { isolated?: boolean },
): NativeLibrary<T> {
  try {
    return loader.open(path, table, options);
  } catch (error) {
    if (!(error instanceof FfiFailure)) throw error;
    throw new LibraryLoadError(`Cannot call C: ${error.message}`, { hint: error.hint, cause: error.cause });
  }
}
