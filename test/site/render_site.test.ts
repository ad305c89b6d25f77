import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, test } from "#test";
import { headingIds } from "../../site/heading_ids.ts";
import { listMarkdown } from "../../site/list_markdown.ts";
import { renderSite } from "../../site/render_site.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const folders: string[] = [];
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true })));

/** Makes a repository of a few files. */
function repository(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), "enclave-kms-site-"));
  folders.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

function siteOf(files: Readonly<Record<string, string>>) {
  const root = repository(files);
  return renderSite(root, listMarkdown(root));
}

describe("the site", () => {
  test("has every page of the repository, each once, with a policy that lets nothing run or load", () => {
    const pages = listMarkdown(ROOT);
    const { files, copies } = renderSite(ROOT, pages);
    assert.equal(files.size, pages.length);
    assert.ok(files.has("index.html") && files.has("docs/secrets.html") && files.has("lib/core/index.html"));
    for (const [path, html] of files) {
      assert.match(html, /content-security-policy" content="default-src 'none'; /, path);
      assert.doesNotMatch(html, /<(?:script|iframe|object|embed|form)\b|\son\w+=|\sstyle=/, path);
      const loaded = Array.from(html.matchAll(/\s(?:src|srcset)="([^"]*)"|<link[^>]+href="([^"]*)"/g));
      for (const [, src = "", href = ""] of loaded) assert.doesNotMatch(src + href, /^[a-z]+:|^\/\//, path);
      assert.equal(html.match(/<h1\b/g)?.length, 1, path);
    }
    assert.ok(copies.some(({ from, to }) => from.endsWith(".cedar") && to === `${from}.txt`));
  });

  test("links pages, headings and files from any folder", () => {
    const { files, copies } = siteOf({
      "README.md": "# Top\n\n[a](docs/a.md#b-c) [own](#top) ![p](docs/p.svg)\n",
      "docs/a.md":
        "# A\n\n## B, `c`\n\n[top](../README.md) [d](../d/README.md) [l](../LICENSE) [w](https://example.com/x)\n",
      "d/README.md": "# D\n",
      "docs/p.svg": "<svg/>",
      LICENSE: "free",
    });
    const links = (path: string) => {
      const [, main = ""] = /<main.*?>(.*)<\/main>/s.exec(files.get(path) ?? "") ?? [];
      return Array.from(main.matchAll(/<(?:a|img)[^>]* (?:href|src)="([^"]*)"/g), ([, link]) => link);
    };
    assert.deepEqual(links("index.html"), ["#top", "docs/a.html#b-c", "#top", "docs/p.svg"]);
    assert.deepEqual(links("docs/a.html"), [
      "#a",
      "#b-c",
      "../index.html",
      "../d/index.html",
      "../LICENSE.txt",
      "https://example.com/x",
    ]);
    assert.deepEqual(copies.map(({ to }) => to).sort(), ["LICENSE.txt", "docs/p.svg"]);
  });

  for (
    const [what, text, message] of [
      ["a page that is not there", "[a](b.md)", /from README\.md to b\.md: there is no such file/],
      ["a heading that is not there", "[a](#b)", /to #b: it has no such heading/],
      ["a file outside", "[a](../../etc/passwd)", /it is outside of the repository/],
      ["a script", "[a](javascript:alert(1))", /it is outside of the repository/],
      ["HTML", "<script>1</script>", /Cannot render README\.md: it has HTML, <script>/],
    ] as const
  ) {
    test(`refuses ${what}`, () => {
      assert.throws(() => siteOf({ "README.md": `# Top\n\n${text}\n` }), { message });
    });
  }

  test("shows what looks like HTML in code as it is", () => {
    const { files } = siteOf({ "README.md": '# A `<b>`\n\n```ts\nconst a = "</code><script>";\n```\n' });
    assert.match(files.get("index.html") ?? "", /&quot;&lt;\/code&gt;&lt;script&gt;&quot;/);
  });

  test("names headings as links do", () => {
    assert.deepEqual(headingIds("# A b\n\n## `c()` and [d](e)\n\n## A b\n\ntext\n\n```\n# none\n```\n"), [
      "a-b",
      "c-and-d",
      "a-b-1",
    ]);
  });
});
