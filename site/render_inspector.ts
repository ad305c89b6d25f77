import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { layOut, type NavigationGroup } from "./layout.ts";

/**
 * Makes the inspector: a page, and its one script. It is a classic script, so that the page works from a file, too.
 *
 * @param root The repository's folder
 * @param groups Navigation
 * @returns Files by their paths from the site's root
 */
export async function renderInspector(
  root: string,
  groups: readonly NavigationGroup[],
): Promise<ReadonlyMap<string, string>> {
  const { outputFiles: [script] } = await build({
    entryPoints: ["site/inspector/main.ts"],
    absWorkingDir: root.replace(/\/$/, ""),
    bundle: true,
    format: "iife",
    platform: "browser",
    target: "es2023",
    minify: true,
    write: false,
    logLevel: "warning",
  });
  const page = layOut({
    title: "Inspector",
    body: readFileSync(join(root, "site/inspector/body.html"), "utf8"),
    home: ".",
    groups,
    path: "inspector.html",
    script: "inspector.js",
  });
  return new Map([["inspector.html", page], ["inspector.js", script?.text ?? ""]]);
}
