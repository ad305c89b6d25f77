import { existsSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { Marked, type Tokens } from "marked";
import { headingIds } from "./heading_ids.ts";
import { escapeHtml, layOut, type NavigationGroup } from "./layout.ts";

/** File that the site has as it is in the repository. */
export interface Copy {
  /** Path from the repository's root. */
  readonly from: string;
  /** Path from the site's root. */
  readonly to: string;
}

/** Content of the site, by path from its root. */
export interface Site {
  readonly files: ReadonlyMap<string, string>;
  readonly copies: readonly Copy[];
  /** Navigation of every page. */
  readonly groups: readonly NavigationGroup[];
}

/** Kinds of files that a page may show or link to, beside pages. Source is text to a browser too. */
const IMAGE = /\.(?:svg|png)$/;

/**
 * Renders pages, each with the navigation around it.
 *
 * @param root The repository's folder
 * @param pages Paths of Markdown files, from the root
 * @throws {Error} When a link leads nowhere, to a heading that is not there, or outside of the repository
 */
export function renderSite(root: string, pages: readonly string[]): Site {
  const texts = new Map(pages.map((path) => [path, readFileSync(join(root, path), "utf8")]));
  const ids = new Map([...texts].map(([path, text]) => [path, headingIds(text)]));
  const groups = navigationOf(texts);
  const copies = new Map<string, Copy>();
  const files = new Map<string, string>();
  for (const [path, text] of texts) {
    const links = new Links(root, path, ids, copies);
    const home = posix.relative(posix.dirname(targetOf(path)), ".") || ".";
    files.set(
      targetOf(path),
      layOut({
        title: titleOf(path, text),
        body: render(path, text, links),
        home,
        groups,
        path: targetOf(path),
      }),
    );
  }
  return { files, copies: [...copies.values()], groups };
}

/** @returns Path of a page on the site */
function targetOf(path: string): string {
  if (path === "README.md") return "index.html";
  return path.replace(/README\.md$/, "index.html").replace(/\.md$/, ".html");
}

function titleOf(path: string, text: string): string {
  return /^# (.+)$/m.exec(text)?.[1]?.replaceAll("`", "") ?? path;
}

/** Rooms have pages for those who change the code: they come last. */
function navigationOf(texts: ReadonlyMap<string, string>): NavigationGroup[] {
  const inGroup = (title: string, isIn: (path: string) => boolean): NavigationGroup => ({
    title,
    pages: [...texts].filter(([path]) => isIn(path)).map(([path, text]) => ({
      title: titleOf(path, text),
      path: targetOf(path),
    })),
  });
  const isGuide = (path: string) => path.startsWith("docs/");
  const isTop = (path: string) => !path.includes("/");
  const isExample = (path: string) => path.startsWith("examples/");
  return [
    inGroup("Project", isTop),
    inGroup("Guides", isGuide),
    inGroup("Examples", isExample),
    inGroup("Inside", (path) => !isTop(path) && !isGuide(path) && !isExample(path)),
  ];
}

/** Links of one page. */
class Links {
  readonly #root: string;
  readonly #page: string;
  readonly #ids: ReadonlyMap<string, readonly string[]>;
  readonly #copies: Map<string, Copy>;

  constructor(
    root: string,
    page: string,
    ids: ReadonlyMap<string, readonly string[]>,
    copies: Map<string, Copy>,
  ) {
    this.#root = root;
    this.#page = page;
    this.#ids = ids;
    this.#copies = copies;
  }

  /** Makes a link of Markdown one of the site. */
  resolve(link: string): string {
    if (/^https:\/\//.test(link)) return link;
    const [, path = "", fragment] = /^([^#]*)(?:#(.*))?$/.exec(link) ?? [];
    const to = path === "" ? this.#page : posix.normalize(posix.join(posix.dirname(this.#page), path));
    const ids = this.#ids.get(to);
    if (fragment !== undefined && !ids?.includes(fragment)) this.#refuse(link, "it has no such heading");
    if (ids === undefined) return this.#relative(this.#copy(link, to));
    return `${path === "" ? "" : this.#relative(targetOf(to))}${
      fragment === undefined ? "" : `#${fragment}`
    }`;
  }

  #copy(link: string, from: string): string {
    if (/^[a-z]+:/.test(link) || from.startsWith("..") || from.startsWith("/")) {
      this.#refuse(link, "it is outside of the repository");
    }
    if (!existsSync(join(this.#root, from))) this.#refuse(link, "there is no such file");
    const to = IMAGE.test(from) ? from : `${from}.txt`;
    this.#copies.set(from, { from, to });
    return to;
  }

  #relative(to: string): string {
    return posix.relative(posix.dirname(targetOf(this.#page)), to);
  }

  #refuse(link: string, why: string): never {
    throw new Error(`Cannot link from ${this.#page} to ${link}: ${why}`);
  }
}

function render(path: string, text: string, links: Links): string {
  const ids = headingIds(text)[Symbol.iterator]();
  const marked = new Marked({
    renderer: {
      heading({ tokens, depth }: Tokens.Heading) {
        const id = escapeHtml(ids.next().value ?? "");
        return `<h${depth} id="${id}"><a class="anchor" href="#${id}">${
          this.parser.parseInline(tokens)
        }</a></h${depth}>\n`;
      },
      link({ href, tokens }: Tokens.Link) {
        return `<a href="${escapeHtml(links.resolve(href))}">${this.parser.parseInline(tokens)}</a>`;
      },
      image({ href, text: alternative }: Tokens.Image) {
        return `<img src="${escapeHtml(links.resolve(href))}" alt="${escapeHtml(alternative)}">`;
      },
      // A wide table or block scrolls, and is reached by the keyboard for that.
      code({ text: code }: Tokens.Code) {
        return `<pre tabindex="0"><code>${escapeHtml(code)}</code></pre>\n`;
      },
      table(token: Tokens.Table) {
        const row = (cells: readonly Tokens.TableCell[], name: string) =>
          `<tr>${
            cells.map((cell) => `<${name}>${this.parser.parseInline(cell.tokens)}</${name}>`).join("")
          }</tr>`;
        const body = token.rows.map((cells) => row(cells, "td")).join("\n");
        return `<div class="table" tabindex="0"><table><thead>${
          row(token.header, "th")
        }</thead>\n<tbody>${body}</tbody></table></div>\n`;
      },
      // The pages are Markdown alone; what looks like HTML is text that lacks its backticks.
      html({ text: html }: Tokens.HTML | Tokens.Tag) {
        if (/^<!--.*-->\s*$/s.test(html)) return "";
        throw new Error(`Cannot render ${path}: it has HTML, ${html.slice(0, 40)}`);
      },
    },
  });
  return marked.parse(text, { async: false });
}
