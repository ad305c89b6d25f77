import type koffi from "koffi";

declare const require: (name: "koffi/indirect") => { readonly default: typeof koffi };

/** Place that koffi's native part must be in, for hints. */
export const KOFFI_PLACE = "in build/koffi, two folders above this bundle";

/**
 * Loads koffi as `ffi/koffi.ts` does, in a bundle that holds koffi itself: esbuild includes the module that is required
 * here, and runs it at the first call.
 *
 * @throws {Error} When koffi's native part is not there, or may not be loaded
 */
export function requireKoffi(): typeof koffi {
  return require("koffi/indirect").default;
}
