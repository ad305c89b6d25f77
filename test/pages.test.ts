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

  test("do not have anybody install by a name that is not ours yet", () => {
    const fetched =
      /npx (?:-\S+ )*enclave-kms|npm (?:i|install|add) (?:-\S+ )*enclave-kms\b|(?:jsr|npm):@?enclave-kms/;
    const asking = pages.filter((page) => fetched.test(readPage(page)));
    assert.deepEqual(asking, []);
  });
});

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
