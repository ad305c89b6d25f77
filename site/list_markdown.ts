import { readdirSync } from "node:fs";

/** Folders that hold what others wrote, or what a build made. */
const NOT_OURS: readonly string[] = ["node_modules", "build", ".git", ".github"];

/**
 * Lists the pages of the repository.
 *
 * @param root Its folder
 * @param below Folder to begin at, from the root; the empty string for the root itself
 * @returns Paths of all Markdown files, from the root
 */
export function listMarkdown(root: string, below: string = ""): string[] {
  return readdirSync(`${root}/${below}`, { withFileTypes: true }).flatMap((entry) => {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) return NOT_OURS.includes(entry.name) ? [] : listMarkdown(root, path);
    return entry.isFile() && entry.name.endsWith(".md") ? [path] : [];
  }).sort();
}
