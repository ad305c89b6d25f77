import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "#test";
import { COMMANDS } from "../cli/command_table.ts";
import { codeBlocks, listPages, readPage, ROOT } from "./support/documents.ts";

/** The history names what was there once. */
const HISTORY = "CHANGELOG.md";

/** Top of a path in backticks that must exist. */
const ROOMS = "aws_sdk|bench|cli|docs|enclave|examples|ffi|lib|server|sim|test|tools";

/** Made by `npm run build`, or by a run of something. */
const MADE = /^(?:\.\/)?(?:build\/|lib\/enclave-kms\/|node_modules\/)/;

const pages = listPages();
const { scripts } = JSON.parse(readPage("package.json")) as { scripts: Record<string, string> };

describe("the pages", () => {
  test("are found", () => {
    for (const page of ["README.md", "SECURITY.md", "cli/README.md", "test/hostile/README.md"]) {
      assert.ok(pages.includes(page), page);
    }
  });

  test("have blocks in lists too, without their indentation", () => {
    const text =
      "1. first:\n\n   ```ts types-only: why\n   if (a) {\n     b;\n   }\n   ```\n\n```sh\nls\n```\n";
    assert.deepEqual(codeBlocks("page", text, ["ts"]), [
      { name: "page 1", language: "ts", note: "types-only: why", code: "if (a) {\n  b;\n}\n" },
    ]);
  });

  test("link to files and headings that are there", () => {
    const broken = pages.flatMap((page) =>
      linksIn(readPage(page)).filter((link) => !leadsSomewhere(page, link)).map((link) => `${page}: ${link}`)
    );
    assert.deepEqual(broken, []);
    assert.equal(leadsSomewhere("README.md", "SECURITY.md#a-hostile-parent"), true);
    assert.equal(leadsSomewhere("README.md", "SECURITY.md#a-friendly-parent"), false);
    assert.equal(leadsSomewhere("README.md", "SECURITY.txt"), false);
  });

  test("name files and folders of ours that are there", () => {
    const named = new RegExp(`\`((?:${ROOMS})/[\\w./-]+)\``, "g");
    const missing = pages.filter((page) => page !== HISTORY).flatMap((page) =>
      Array.from(readPage(page).matchAll(named), ([, path = ""]) => path)
        .filter((path) => !MADE.test(path) && !existsSync(join(ROOT, path)))
        .map((path) => `${page}: ${path}`)
    );
    assert.deepEqual(missing, []);
  });

  test("name scripts of package.json", () => {
    const unknown = pages.flatMap((page) =>
      Array.from(
        readPage(page).matchAll(/\bnpm (?:run ([\w:-]+)|(test|start)\b)/g),
        ([, run, own]) => run ?? own,
      )
        .filter((name) => name !== undefined && scripts[name] === undefined)
        .map((name) => `${page}: ${name}`)
    );
    assert.deepEqual(unknown, []);
  });

  test("run files that are there", () => {
    const missing = shellLines().flatMap(({ page, line }) =>
      Array.from(line.matchAll(/[\w./-]+\.(?:ts|js|mjs|sh)\b/g), ([path]) => path)
        .filter((path) => path.includes("/") && !MADE.test(path) && !existsSync(join(ROOT, path)))
        .map((path) => `${page}: ${path}`)
    );
    assert.deepEqual(missing, []);
  });

  test("show commands and flags that the command line has", () => {
    const lines = shellLines().filter(({ line }) => COMMAND_LINE.test(line));
    assert.ok(lines.length > 10);
    assert.deepEqual(lines.flatMap(({ page, line }) => wrongIn(line).map((word) => `${page}: ${word}`)), []);
    assert.deepEqual(wrongIn("enclave-kms decrypt --region a --cyphertext b"), ["--cyphertext"]);
    assert.deepEqual(wrongIn("enclave-kms decypher"), ["decypher"]);
  });

  test("README.md has one picture, which says in words what it shows, in the light and in the dark", () => {
    const pictures = [...readPage("README.md").matchAll(/!\[([^\]]*)\]\(([^)]+)\)|<img|```mermaid/g)];
    assert.equal(pictures.length, 1);
    const [, alternative = "", path = ""] = pictures[0] ?? [];
    assert.ok(alternative.length > 60, alternative);
    const picture = readPage(path);
    assert.deepEqual(problemsOfPicture(picture), []);
    for (
      const [from, to] of [
        ['role="img"', ""],
        ["</title>", "</titel>"],
        ["prefers-color-scheme: dark", "prefers-color-scheme: light"],
        ["<defs>", "<script>1</script><defs>"],
        ["<defs>", '<image href="https://example.org/a.png" /><defs>'],
        ["<defs>", "<defs onload='1'>"],
        ["</defs>", ""],
      ] as const
    ) {
      assert.ok(picture.includes(from), from);
      assert.notDeepEqual(problemsOfPicture(picture.replace(from, to)), [], to);
    }
  });

  test("do not have anybody install by a name that is not ours yet", () => {
    const fetched =
      /(?:npx|bunx|dlx|npm exec|pnpm exec) (?:-\S+ )*@?enclave-kms|(?:npm|pnpm|yarn|bun|deno) (?:i|install|add|create|init) (?:-\S+ )*(?:jsr:|npm:)?@?enclave-kms(?!-\d)|(?:jsr|npm):@?enclave-kms/;
    const asking = pages.filter((page) => fetched.test(readPage(page)));
    assert.deepEqual(asking, []);
    for (
      const line of [
        "npx enclave-kms init",
        "npx --yes enclave-kms verify",
        "npm i -g enclave-kms",
        "npm install enclave-kms",
        "pnpm add enclave-kms",
        "pnpm dlx enclave-kms",
        "yarn add enclave-kms",
        "npm create enclave-kms",
        "deno add jsr:@enclave-kms/enclave-kms",
        'import "npm:enclave-kms"',
      ]
    ) assert.match(line, fetched);
    for (const line of ["npm install ./enclave-kms-0.1.0.tgz", "node_modules/.bin/enclave-kms verify"]) {
      assert.doesNotMatch(line, fetched);
    }
  });
});

/** Finds what a picture must not have, or lacks: it may hold nothing that loads or runs. */
function problemsOfPicture(svg: string): string[] {
  const open: string[] = [];
  const strange: string[] = [];
  for (const [, close, name = "", rest = ""] of svg.matchAll(/<(\/?)([\w-]+)([^>]*)>/g)) {
    if (close === "/") {
      if (open.pop() !== name) strange.push(`${name} ends what is not open`);
    } else if (!rest.endsWith("/")) open.push(name);
    if (/^(?:script|image|foreignObject|use|a)$/.test(name)) strange.push(`it has ${name}`);
    if (/\bon\w+=|href/.test(rest)) strange.push(`${name} loads or runs something`);
  }
  return [
    ...strange,
    ...open.map((name) => `${name} is not closed`),
    ...(/^<svg [^>]*role="img"/.test(svg) ? [] : ["it is no picture to a reader"]),
    ...(/<title\b[^>]*>[^<]{5,}<\/title>/.test(svg) && /<desc\b[^>]*>[^<]{60,}<\/desc>/.test(svg)
      ? []
      : ["it has no words"]),
    ...(svg.includes("@media (prefers-color-scheme: dark)") ? [] : ["it has no dark side"]),
    ...(/url\((?!#)|@import/.test(svg) ? ["its style loads something"] : []),
  ];
}

/** A line that starts our command line, with what follows it. */
const COMMAND_LINE =
  /(?:^|[\s(])(?:\S*\/)?(?:enclave-kms|cli\/main\.ts) ((?:[a-z]+[0-9]*(?:-[a-z]+)* ?)+)(.*)$/;

/** @returns Words of a line that our command line does not know */
function wrongIn(line: string): string[] {
  const [, words = "", rest = ""] = COMMAND_LINE.exec(line) ?? [];
  const command = COMMANDS.find(({ name }) => `${words.trim()} `.startsWith(`${name} `));
  if (command === undefined) return [words.trim()];
  const known = command.flags.map(({ name }) => `--${name}`);
  const given = (rest.split(/ [|>] | # /)[0] ?? "").match(/(?<=^|\s)--[a-z-]+/g) ?? [];
  return given.filter((flag) => flag !== "--help" && !known.includes(flag));
}

/** @returns Lines of all shell blocks, those that go on joined */
function shellLines(): { readonly page: string; readonly line: string }[] {
  return pages.flatMap((page) =>
    codeBlocks(page, readPage(page), ["sh", "bash", "shell", "console"]).flatMap(({ code }) =>
      code.replaceAll(/\\\n\s*/g, " ").split("\n").map((line) => line.replace(/^\s*#.*/, "").trim())
        .filter((line) => line !== "").map((line) => ({ page, line }))
    )
  );
}

/** @returns Targets of links within the repository */
function linksIn(text: string): string[] {
  const prose = text.replaceAll(/^( *)```[\s\S]*?^\1```$/gm, "").replaceAll(/`[^`\n]*`/g, "");
  return Array.from(prose.matchAll(/\]\(([^)\s]+)\)/g), ([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target));
}

function leadsSomewhere(page: string, link: string): boolean {
  const [path = "", heading] = link.split("#");
  const target = path === "" ? page : join(dirname(page), path);
  if (!existsSync(join(ROOT, target))) return false;
  return heading === undefined || headingsOf(readPage(target)).includes(heading);
}

/** @returns Anchors of a page's headings, as GitHub makes them */
function headingsOf(text: string): string[] {
  return Array.from(
    text.replaceAll(/^( *)```[\s\S]*?^\1```$/gm, "").matchAll(/^#+ (.*)$/gm),
    ([, heading = ""]) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-"),
  );
}
