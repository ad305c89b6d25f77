import { readEntries } from "./entries.ts";

/** Members of package.json that users get as they are. */
const KEPT = [
  "name",
  "version",
  "description",
  "keywords",
  "homepage",
  "bugs",
  "repository",
  "license",
  "type",
  "engines",
  "sideEffects",
] as const;

/**
 * Makes the package.json of users, with the paths of the built files. While the source is private the package is, too:
 * npm installs it from a file, and refuses to publish it.
 *
 * @param source Parsed package.json of the repository
 */
export function manifestOf(source: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const exports = readEntries().filter(({ name }) => name !== "cli").map(({ specifier, name, source }) => [
    specifier,
    {
      types: `./types/${source.replace(/\.ts$/, ".d.ts")}`,
      deno: `./deno/${name}.js`,
      default: `./node/${name}.js`,
    },
  ]);
  const kept = KEPT.filter((name) => source[name] !== undefined).map((name) => [name, source[name]]);
  return {
    ...Object.fromEntries(kept),
    ...(source["private"] === true ? { private: true } : {}),
    exports: { ...Object.fromEntries(exports), "./package.json": "./package.json" },
    bin: { "enclave-kms": "./cli.js" },
    dependencies: source["dependencies"],
    peerDependencies: source["peerDependencies"],
    peerDependenciesMeta: source["peerDependenciesMeta"],
  };
}
