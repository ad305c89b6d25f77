import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ImageError } from "../../lib/core/errors.ts";

/** Architecture of an image and of native code, as Linux names it. */
export type BundleArchitecture = "x86_64" | "arm64";

/** Files of a bundle by their paths, with lengths in bytes and SHA-256 as hex. */
export type BundleFiles = Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;

/** CommonJS packages ask for Node's modules with `require`, and koffi for where it lies. */
export const COMMON_JS: string = [
  `import { createRequire as makeRequire } from "node:module";`,
  "const require = makeRequire(import.meta.url);",
  "const { filename: __filename, dirname: __dirname } = import.meta;",
].join(" ");

/**
 * Lists the files of a folder, those of folders inside as well.
 *
 * @param folder The folder
 * @returns Files by their paths, sorted
 * @throws {ImageError} When something in it is neither file nor folder: a link may lead anywhere
 */
export function listFiles(folder: string): BundleFiles {
  return Object.fromEntries(
    listPaths(folder).map((path) => {
      const contents = readFileSync(join(folder, path));
      const sha256 = createHash("sha256").update(contents).digest("hex");
      return [path, { bytes: contents.length, sha256 }];
    }),
  );
}

/**
 * Lists the paths of the files of a folder, those of folders inside as well. It follows no link.
 *
 * @param folder The folder
 * @returns Paths from the folder, with slashes, sorted
 * @throws {ImageError} When something in it is neither file nor folder
 */
export function listPaths(folder: string): string[] {
  const paths: string[] = [];
  const folders = [""];
  for (const inside of folders) {
    for (const name of readdirSync(join(folder, inside))) {
      const path = `${inside}${name}`;
      const stat = lstatSync(join(folder, path));
      if (stat.isDirectory()) folders.push(`${path}/`);
      else if (stat.isFile()) paths.push(path);
      else {
        throw new ImageError(
          `Cannot list a bundle: ${path} is ${stat.isSymbolicLink() ? "a link" : "no file"}`,
          {
            hint: "A bundle has only files and folders: make it again with enclave-kms bundle",
          },
        );
      }
    }
  }
  return paths.sort();
}

/**
 * Finds the folder of the package that a file is part of.
 *
 * @param path Path of the file
 * @returns Folder of the nearest package.json with a name; undefined when there is none
 */
export function packageFolderOf(path: string): string | undefined {
  for (let folder = dirname(path);; folder = dirname(folder)) {
    const file = join(folder, "package.json");
    if (existsSync(file) && "name" in JSON.parse(readFileSync(file, "utf8"))) return folder;
    if (folder === dirname(folder)) return undefined;
  }
}

/**
 * Joins the licences of packages: whoever passes a bundle on passes them on.
 *
 * @param folders Folders of the packages
 * @returns Names, versions and licences, in the order of the names
 */
export function licensesOf(folders: readonly string[]): string {
  const parts = folders.map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    // A link may lead out of the package, to a key of whoever bundles.
    const file = readdirSync(folder).sort().find((entry) =>
      /^licen[cs]e(\.|$)/i.test(entry) && lstatSync(join(folder, entry)).isFile()
    );
    const text = file === undefined
      ? `Licensed under ${license}.\n`
      : readFileSync(join(folder, file), "utf8");
    return { name: String(name), text: `${name} ${version} (${license})\n\n${text}` };
  });
  return parts.sort((a, b) => a.name < b.name ? -1 : 1).map(({ text }) => text).join(`\n${"=".repeat(78)}\n`);
}
