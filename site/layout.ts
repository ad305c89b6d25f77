/** Page of the navigation. */
export interface NavigationPage {
  readonly title: string;
  /** Path from the site's root. */
  readonly path: string;
}

/** Pages of one kind. */
export interface NavigationGroup {
  readonly title: string;
  readonly pages: readonly NavigationPage[];
}

/** Page to lay out. */
export interface PageContent {
  readonly title: string;
  /** HTML. */
  readonly body: string;
  /** The site's root, from the page's folder. */
  readonly home: string;
  readonly groups: readonly NavigationGroup[];
  /** Its own path from the site's root. */
  readonly path: string;
  /** Script of the page, from the site's root. Default: none. */
  readonly script?: string;
}

/** Nothing runs, and nothing is loaded from elsewhere. */
const SECURITY_POLICY =
  "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'";

/** Policy of a page with a script of the site's: it may load that, and connect to nothing. */
const SCRIPT_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'";

/**
 * Puts a page into its frame: head, navigation, footer.
 *
 * @returns HTML of the whole page
 */
export function layOut({ title, body, home, groups, path, script }: PageContent): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="content-security-policy" content="${
    script === undefined ? SECURITY_POLICY : SCRIPT_POLICY
  }">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title === "enclave-kms" ? title : `${title} · enclave-kms`)}</title>
<link rel="stylesheet" href="${home}/style.css">${
    script === undefined ? "" : `\n<script src="${home}/${script}" defer></script>`
  }
</head>
<body>
<a class="skip" href="#content">Skip to the text</a>
<header><a class="name" href="${home}/index.html">enclave-kms</a>
<a href="${home}/api/index.html">API reference</a>
<a href="${home}/inspector.html"${
    path === "inspector.html" ? ' aria-current="page"' : ""
  }>Inspector</a></header>
<div class="columns">
<nav aria-label="Pages">
${groups.map((group) => navigate(group, home, path)).join("\n")}
</nav>
<main id="content">
${body}</main>
</div>
</body>
</html>
`;
}

function navigate({ title, pages }: NavigationGroup, home: string, current: string): string {
  const items = pages.map((page) => {
    const mark = page.path === current ? ' aria-current="page"' : "";
    return `<li><a href="${home}/${escapeHtml(page.path)}"${mark}>${escapeHtml(page.title)}</a></li>`;
  });
  const isOpen = pages.some((page) => page.path === current) || title === "Guides";
  return `<details${isOpen ? " open" : ""}><summary>${escapeHtml(title)}</summary>\n<ul>\n${
    items.join("\n")
  }\n</ul></details>`;
}

/** Makes text safe between tags and in an attribute. */
export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(
    '"',
    "&quot;",
  );
}
