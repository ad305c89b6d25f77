/**
 * Program of `npm run site`: writes the static site into `build/site`, or into the folder that is named: every page of
 * the repository, an inspector, and an API reference from the doc comments. It needs no server and loads nothing from elsewhere.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { readEntries } from "../tools/entries.ts";
import { listMarkdown } from "./list_markdown.ts";
import { renderInspector } from "./render_inspector.ts";
import { renderSite } from "./render_site.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const OUT = "build/site";

const [folder = OUT] = process.argv.slice(2);
if (folder === OUT) rmSync(join(ROOT, OUT), { recursive: true, force: true });
const out = resolve(ROOT, folder);
const { files: pages, copies, groups } = renderSite(ROOT, listMarkdown(ROOT));
const inspector = await renderInspector(ROOT, groups);
const files = new Map([...pages, ...inspector]);
for (const [path, text] of files) {
  mkdirSync(dirname(join(out, path)), { recursive: true });
  writeFileSync(join(out, path), text);
}
for (const { from, to } of copies) {
  mkdirSync(dirname(join(out, to)), { recursive: true });
  cpSync(join(ROOT, from), join(out, to));
}
cpSync(join(ROOT, "site/style.css"), join(out, "style.css"));
const bytes = Array.from(inspector.values(), (text) => Buffer.byteLength(text)).reduce((a, b) => a + b, 0);
console.log(`${pages.size} pages, and the inspector: ${(bytes / 1000).toFixed(1)} kB`);

const sources = readEntries().filter(({ name }) => name !== "cli").map(({ source }) => source);
execFileSync("deno", [
  "doc",
  "--quiet",
  "--html",
  "--name=enclave-kms",
  `--output=${join(out, "api")}`,
  ...sources,
], {
  cwd: ROOT,
  stdio: ["ignore", "ignore", "inherit"],
});
console.log(`API reference of ${sources.length} entries\n${folder}/index.html`);
