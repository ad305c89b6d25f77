import { marked } from "marked";

/**
 * Names the headings of a page, as links in Markdown name them.
 *
 * @param text Markdown
 * @returns A name for each heading, in their order: small letters, digits and hyphens, and a number where it is taken
 */
export function headingIds(text: string): string[] {
  const taken = new Map<string, number>();
  return marked.lexer(text).flatMap((token) => {
    if (token.type !== "heading") return [];
    const plain = String(token["text"]).replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(
      /[`*_]/g,
      (mark) => mark === "_" ? mark : "",
    );
    const id = plain.trim().toLowerCase().replace(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-");
    const before = taken.get(id) ?? 0;
    taken.set(id, before + 1);
    return [before === 0 ? id : `${id}-${before}`];
  });
}
