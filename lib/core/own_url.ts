import { existsSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";

/** Path of this file in a CommonJS module, which has no `import.meta.url`; undeclared in an ES module. */
declare const __filename: string | undefined;

/**
 * Finds the place of the running code, for files that lie beside it. A bundle may be a CommonJS module without an
 * `import.meta.url`, or hold the URL that the module had where it was built: there the bundle's own file counts.
 *
 * Called when such a file is needed and never while modules load: most programs need none.
 *
 * @param moduleUrl Value of the module's `import.meta.url`, which bundlers replace
 * @returns A URL; undefined when it cannot be told
 */
export function ownUrl(moduleUrl: string | undefined): string | undefined {
  const bundle = typeof __filename === "string" ? pathToFileURL(__filename).href : undefined;
  return moduleUrl === undefined || (bundle !== undefined && !isThere(moduleUrl)) ? bundle : moduleUrl;
}

function isThere(url: string): boolean {
  return !url.startsWith("file:") || existsSync(fileURLToPath(url));
}
