import process from "node:process";
import type koffi from "koffi";

/** What a CommonJS bundle has in place of `import.meta.url`; undeclared in an ES module. */
declare const __filename: string | undefined;

/** Where koffi's native part has to be, for hints. */
export const KOFFI_PLACE = "in the program's node_modules, or in one beside its bundle";

/**
 * Loads koffi, when C is first called and not while modules load: what calls no C needs no native code. It stays
 * outside of other people's bundles: webpack would follow a `createRequire` that is imported.
 *
 * @throws {Error} When koffi or its native part is not installed, or may not be loaded
 */
export function requireKoffi(): typeof koffi {
  const { createRequire } = process.getBuiltinModule("node:module");
  return createRequire(typeof __filename === "string" ? __filename : import.meta.url)("koffi").default;
}
