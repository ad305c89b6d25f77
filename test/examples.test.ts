import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, test } from "#test";
import { readEntries } from "../tools/entries.ts";
import { shareOf } from "./support/share.ts";
import { codeBlocks, listPages, readPage, ROOT } from "./support/documents.ts";

/** Inside the project, so that the examples find the packages that it depends on. */
const FOLDER = join(ROOT, "build");

/** Languages of blocks that are programs. */
const PROGRAMS = ["ts", "typescript", "js", "javascript", "mjs"];

/**
 * Introduces the reason in the first line of a block that needs what is not here, and is only type-checked.
 */
const TYPES_ONLY = /^types-only: \S.*$/;

/** Blocks of the pages that cannot run here: those that need an enclave, another tool or AWS. */
const TYPES_ONLY_BLOCKS: Readonly<Record<string, number>> = {
  "README.md": 1,
  "docs/applications.md": 4,
  "docs/aws-sdk.md": 1,
  "docs/callers.md": 1,
  "docs/grpc.md": 1,
  "docs/migrating-from-aws-sdk.md": 1,
  "docs/migrating-from-kmstool.md": 1,
  "docs/parent.md": 1,
  "docs/testing-your-application.md": 1,
};

const onDeno = "Deno" in globalThis;

/** Blocks that do not run on Deno 2.9.5: its `node:http2` may end the process (denoland/deno#36788). */
const NODE_ONLY_BLOCKS = ["docs/grpc.md 2"];

const ON_NODE = onDeno ? " (skipped: tsc says the same to Node)" : "";

interface Example {
  /** `lib/core/secret_bytes.ts 1`. */
  readonly name: string;
  readonly code: string;
  /** Whether it runs here. */
  readonly runs: boolean;
}

const entries = readEntries();
const pages = listPages().flatMap((page) => codeBlocks(page, readPage(page), PROGRAMS));
const examples: readonly Example[] = [
  ...["lib", "enclave", "server", "aws_sdk", "parent", "operator", "deploy", "sim"].flatMap(documented),
  ...documentedIn("mod.ts"),
  ...documentedIn("server/mod.ts"),
  ...pages.map(({ name, code, note }) => ({ name, code, runs: !TYPES_ONLY.test(note) })),
];
mkdirSync(FOLDER, { recursive: true });
const work = mkdtempSync(join(FOLDER, "examples-"));

describe("the examples in the documentation", () => {
  afterAll(() => rmSync(work, { recursive: true }));

  test("are found", () => {
    for (const file of ["mod.ts 1", "README.md 1", "lib/kms/kms_client.ts 1", "sim/simulator.ts 1"]) {
      assert.ok(examples.some(({ name }) => name === file), `${file} is missing`);
    }
  });

  test("in pages run, but for those that say why they do not", () => {
    const untried = pages.filter(({ note }) => note !== "");
    for (const { name, note } of untried) assert.match(note, TYPES_ONLY, name);
    const counts: Record<string, number> = {};
    for (const { name } of untried) {
      const page = name.replace(/ \d+$/, "");
      counts[page] = (counts[page] ?? 0) + 1;
    }
    assert.deepEqual(counts, TYPES_ONLY_BLOCKS);
  });

  test("that run on Node only are there", () => {
    for (const name of NODE_ONLY_BLOCKS) assert.ok(examples.some((example) => example.name === name), name);
  });

  const shared = examples.filter(({ name, runs }) => runs && !NODE_ONLY_BLOCKS.includes(name));
  const nodeOnly = onDeno ? [] : examples.filter(({ name }) => NODE_ONLY_BLOCKS.includes(name));
  for (const { name, code } of [...shareOf(shared), ...nodeOnly]) {
    test(`${name} runs, and its comments tell its values`, async () => {
      const file = join(work, `${name.replace(/\W/g, "_")}.ts`);
      writeFileSync(file, executable(code));
      await import(pathToFileURL(file).href);
    });
  }
});

describe("the examples for an enclave, which has the NSM and the proxy", () => {
  test.skipIf(onDeno)(`have the right types, as all others${ON_NODE}`, () => {
    const folder = mkdtempSync(join(FOLDER, "enclave-"));
    try {
      assert.ok(examples.some(({ runs }) => !runs));
      for (const { name, code } of examples) {
        writeFileSync(join(folder, `${name.replace(/\W/g, "_")}.ts`), code);
      }
      const settings = {
        extends: "../../tsconfig.json",
        compilerOptions: { noUnusedLocals: false },
        include: ["."],
        exclude: [],
      };
      writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(settings));
      execFileSync("tsc", ["-p", folder], { stdio: ["ignore", "inherit", "inherit"] });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/**
 * Tells whether a documented example needs an enclave's own NSM and proxy: those can only be type-checked
 * here.
 */
function canRun(code: string): boolean {
  return /startSimulator|SoftwareNsm/.test(code) || !/kmsDecrypt|KmsClient/.test(code);
}

/** Makes an assertion of `expression; // value`, and a path of our own name. */
function executable(code: string): string {
  return `import $assert from "node:assert/strict";\n${
    code
      .replaceAll(/"enclave-kms((?:\/\w+)*)"/g, (_, entry: string) => `"${urlOf(`.${entry}`)}"`)
      .replace(/^([^/\n]*[^\s/;]); \/\/ ("[^"]*"|\d+|true|false)$/gm, "$$assert.deepEqual($1, $2);")
      .replace(/^([^/\n]*[^\s/;]); \/\/ Uint8Array (\[[^\]]*\])$/gm, "$$assert.deepEqual([...$1], $2);")
      .replace(
        /^([^/\n]*[^\s/;]); \/\/ (\w+Error): (.*)$/gm,
        (_, call, name, message) => `$assert.throws(() => ${call}, ${JSON.stringify({ name, message })});`,
      )
  }`;
}

/** URL of an entry's source. */
function urlOf(specifier: string): string {
  const entry = entries.find((entry) => entry.specifier === specifier);
  assert.ok(entry, `there is no entry ${specifier}`);
  return pathToFileURL(join(ROOT, entry.source)).href;
}

function documented(folder: string): Example[] {
  return readdirSync(join(ROOT, folder), { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((file) => file.endsWith(".ts"))
    .flatMap(documentedIn);
}

function documentedIn(file: string): Example[] {
  const comments = readPage(file).match(/\/\*\*[\s\S]*?\*\//g) ?? [];
  const text = comments.map((comment) => comment.replace(/^ *\* ?/gm, "")).join("\n");
  return codeBlocks(relative(ROOT, join(ROOT, file)), text, PROGRAMS)
    .map(({ name, code }) => ({ name, code, runs: canRun(code) }));
}
