import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { ownUrl } from "../../lib/core/own_url.ts";
import type { ProjectFile } from "./write_project.ts";

/** Kinds of projects: folders below `templates/`. */
export type ProjectKind = "signer" | "server" | "secret-loader";

/** Places of the templates, from this file and from a bundle of the package. */
const PLACES: readonly string[] = ["../../templates/", "../templates/"];

/** Place in a template for a value. */
const VARIABLE = /\{\{(name|package)\}\}/g;

/**
 * Reads the files of a kind of project.
 *
 * @param kind Kind of the project
 * @param values Its name, and the path of the tarball in it
 * @throws {Error} When the package was installed without its templates
 */
export function readTemplates(
  kind: ProjectKind,
  values: { readonly name: string; readonly package: string },
): ProjectFile[] {
  const root = findTemplates();
  return ["common", kind].flatMap((part) =>
    readdirSync(join(root, part), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".txt"))
      .map((entry) => {
        const path = join(entry.parentPath, entry.name);
        const text = readFileSync(path, "utf8");
        return {
          path: targetOf(relative(join(root, part), path)),
          content: text.replaceAll(VARIABLE, (_, name: "name" | "package") => values[name]),
        };
      })
  );
}

/** npm packs no `.gitignore`: it is told by another name. */
function targetOf(path: string): string {
  return path === "gitignore.txt" ? ".gitignore" : path.slice(0, -".txt".length);
}

function findTemplates(): string {
  const base = ownUrl(import.meta.url);
  const places = base?.startsWith("file:") ? PLACES.map((place) => fileURLToPath(new URL(place, base))) : [];
  const found = places.find((place) => existsSync(join(place, "signer/package.json.txt")));
  if (found === undefined) {
    throw new Error("The folder templates/ of the package is missing: install it from its tarball");
  }
  return found;
}
