import process from "node:process";
import type koffi from "koffi";

/** Path of this file in a CommonJS bundle, which has no `import.meta.url`; undeclared in an ES module. */
declare const __filename: string | undefined;

/** Place that koffi's native part must be in, for hints. */
export const KOFFI_PLACE = "in the program's node_modules, or in one beside its bundle";

/**
 * Loads koffi, when C is first called and not while modules load: a program that calls no C needs no native code. koffi
 * stays out of other people's bundles: webpack would follow an imported `createRequire`.
 *
 * @throws {Error} When koffi or its native part is not installed, or may not be loaded
 */
export function requireKoffi(): typeof koffi {
  const { createRequire } = process.getBuiltinModule("node:module");
  return createRequire(typeof __filename === "string" ? __filename : import.meta.url)("koffi").default;
}
