import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

/** Folders whose pages are checked, besides those at the top level. */
const FOLDERS: readonly string[] = [
  "docs",
  "examples",
  "enclave",
  "parent",
  "server",
  "cli",
  "bench",
  "test",
  ".github",
  "tools",
];

/** Files for which every one of the tests writes and removes folders meanwhile. */
const SKIPPED = /(?:^|\/)(?:node_modules|build)\//;

/** A fenced block of a page. */
export interface CodeBlock {
  /** Page and number of the block among those of its language, such as `README.md 1`. */
  readonly name: string;
  /** First word after the fence. */
  readonly language: string;
  /** Rest of that line, such as `types-only: needs an enclave`. */
  readonly note: string;
  /** Text between the fences. */
  readonly code: string;
}

/** @returns Every page, as a path from the repository's root; written by hand or by a script */
export function listPages(): string[] {
  const below = FOLDERS.filter((folder) => existsSync(join(ROOT, folder))).flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true }).map((name) => `${folder}/${String(name)}`)
  );
  return [...readdirSync(ROOT), ...below]
    .filter((path) => path.endsWith(".md") && !SKIPPED.test(path))
    .sort();
}

/**
 * Reads a file of the repository.
 *
 * @param path From the root
 */
export function readPage(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/**
 * Finds the fenced blocks of one language, those in a list too.
 *
 * @param page Name for the blocks
 * @param text Markdown
 * @param languages First words after the fence
 */
export function codeBlocks(page: string, text: string, languages: readonly string[]): CodeBlock[] {
  return [...text.matchAll(/^( *)```(\w+)[ ]?(.*)\n([\s\S]*?)^\1```$/gm)]
    .filter(([, , language = ""]) => languages.includes(language))
    .map(([, indent = "", language = "", note = "", code = ""], index) => ({
      name: `${page} ${index + 1}`,
      language,
      note: note.trim(),
      code: code.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
    }));
}

/** Reads the rows of a page's tables, as their cells. */
export function tableRows(markdown: string): string[][] {
  return [...markdown.matchAll(/^\| (.*) \|$/gm)].map(([, cells = ""]) =>
    cells.split(" | ").map((cell) => cell.trim())
  );
}
