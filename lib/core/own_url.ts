import { existsSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";

/** What a CommonJS module has in place of `import.meta.url`; undeclared in an ES module. */
declare const __filename: string | undefined;

/**
 * Finds where the code that runs lies, for files that lie beside it. A bundle may be a CommonJS module, which has
 * no `import.meta.url`, or may have been given the URL that the module had where it was built: there the bundle's
 * own file counts.
 *
 * Called when such a file is needed and never while modules load: most programs need none.
 *
 * @param moduleUrl The module's own `import.meta.url`, which bundlers replace
 * @returns A URL; undefined when there is no telling
 */
export function ownUrl(moduleUrl: string | undefined): string | undefined {
  const bundle = typeof __filename === "string" ? pathToFileURL(__filename).href : undefined;
  return moduleUrl === undefined || (bundle !== undefined && !isThere(moduleUrl)) ? bundle : moduleUrl;
}

function isThere(url: string): boolean {
  return !url.startsWith("file:") || existsSync(fileURLToPath(url));
}
