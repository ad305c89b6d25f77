import { readFileSync } from "node:fs";

/** An entry point of the package. */
export interface Entry {
  /** Name in `exports`, such as `./nsm`. */
  readonly specifier: string;
  /** Name of its bundle, such as `nsm`. */
  readonly name: string;
  /** Source, such as `lib/nsm/mod.ts`. */
  readonly source: string;
}

/**
 * Reads the entry points from package.json.
 *
 * @returns Every entry, in the order there
 */
export function readEntries(): Entry[] {
  const file = new URL("../package.json", import.meta.url);
  const { exports } = JSON.parse(readFileSync(file, "utf8")) as { exports: Record<string, string> };
  return Object.entries(exports).map(([specifier, path]) => ({
    specifier,
    name: specifier === "." ? "mod" : specifier.replace("./", ""),
    source: path.replace("./", ""),
  }));
}
