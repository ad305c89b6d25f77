/**
 * `node tools/release_check.ts [TAG]`: refuses a release whose files do not agree. While package.json is private it says
 * so and ends with 0, and the workflow that asks does nothing more; with `--strict` that is a problem like the others.
 *
 * In a workflow it sets the output `publish` to `true` or `false`.
 *
 * @module
 */
import { appendFileSync, readFileSync } from "node:fs";
import process from "node:process";
import { VERSION } from "../lib/core/version.ts";
import { isPrivate, problemsOfRelease } from "./release_problems.ts";

/** Pages that say how to install. */
const PAGES = ["README.md", "cli/README.md", "docs/versions-and-support.md"];

const words = process.argv.slice(2);
const manifest = read("package.json");
const isHeldBack = isPrivate(manifest) && !words.includes("--strict");
const problems = isHeldBack ? [] : problemsOfRelease({
  manifest,
  denoManifest: read("deno.json"),
  lock: read("package-lock.json"),
  changelog: read("CHANGELOG.md"),
  version: VERSION,
  pages: Object.fromEntries(PAGES.map((path) => [path, read(path)])),
  today: new Date().toISOString().slice(0, 10),
  tag: words.find((word) => !word.startsWith("--")),
  runsIn: process.env["GITHUB_REPOSITORY"],
});
for (const problem of problems) console.error(`release: ${problem}`);
const mayPublish = !isHeldBack && problems.length === 0;
console.log(isHeldBack ? "package.json is private: nothing is released" : `publish: ${mayPublish}`);
const output = process.env["GITHUB_OUTPUT"];
if (output !== undefined) appendFileSync(output, `publish=${mayPublish}\n`);
process.exitCode = problems.length === 0 ? 0 : 1;

function read(path: string): string {
  return readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
}
