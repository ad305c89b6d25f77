import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, describe, test } from "#test";
import { readEntries } from "../tools/entries.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Inside the project, so that the examples find the packages that it depends on. */
const FOLDER = join(ROOT, "build");

const onDeno = "Deno" in globalThis;
const ON_NODE = onDeno ? " (skipped: tsc says the same to Node)" : "";

interface Example {
  /** `lib/core/secret_bytes.ts 1`. */
  readonly name: string;
  readonly code: string;
}

const entries = readEntries();
const examples = [...documented("lib"), ...documented("sim"), ...documentedIn("mod.ts"), ...readme()];
mkdirSync(FOLDER, { recursive: true });
const work = mkdtempSync(join(FOLDER, "examples-"));

describe("the examples in the documentation", () => {
  afterAll(() => rmSync(work, { recursive: true }));

  test("are found", () => {
    for (const file of ["mod.ts 1", "README.md 1", "lib/kms/kms_client.ts 1", "sim/simulator.ts 1"]) {
      assert.ok(examples.some(({ name }) => name === file), `${file} is missing`);
    }
  });

  for (const { name, code } of examples.filter(({ code }) => canRun(code))) {
    test(`${name} runs, and its comments tell its values`, async () => {
      const file = join(work, `${name.replace(/\W/g, "_")}.ts`);
      writeFileSync(file, executable(code));
      await import(pathToFileURL(file).href);
    });
  }
});

describe("the examples for an enclave, which has the NSM and the proxy", () => {
  test.skipIf(onDeno)(`have the right types${ON_NODE}`, () => {
    const folder = mkdtempSync(join(FOLDER, "enclave-"));
    try {
      const inEnclave = examples.filter(({ code }) => !canRun(code));
      assert.ok(inEnclave.some(({ name }) => name === "README.md 1"));
      for (const [index, { code }] of inEnclave.entries()) {
        writeFileSync(join(folder, `example_${index}.ts`), code);
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

/** What speaks to an enclave's own NSM and proxy can only be type-checked here. */
function canRun(code: string): boolean {
  return /startSimulator|SoftwareNsm/.test(code) || !/kmsDecrypt|KmsClient/.test(code);
}

/** `expression; // value` becomes an assertion; our own name becomes a path. */
function executable(code: string): string {
  return `import $assert from "node:assert/strict";\n${
    code
      .replace(/"enclave-kms(\/[a-z]+)?"/g, (_, path = "") => `"${sourceOf(`.${path}`)}"`)
      .replace(/^([^/\n]*[^\s/;]); \/\/ ("[^"]*"|\d+|true|false)$/gm, "$$assert.deepEqual($1, $2);")
      .replace(/^([^/\n]*[^\s/;]); \/\/ Uint8Array (\[[^\]]*\])$/gm, "$$assert.deepEqual([...$1], $2);")
      .replace(
        /^([^/\n]*[^\s/;]); \/\/ (\w+Error): (.*)$/gm,
        (_, call, name, message) => `$assert.throws(() => ${call}, ${JSON.stringify({ name, message })});`,
      )
  }`;
}

/** URL of an entry's source. */
function sourceOf(specifier: string): string {
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
  const comments = readFileSync(join(ROOT, file), "utf8").match(/\/\*\*[\s\S]*?\*\//g) ?? [];
  const text = comments.map((comment) => comment.replace(/^ *\* ?/gm, "")).join("\n");
  return fences(relative(ROOT, join(ROOT, file)), text);
}

function readme(): Example[] {
  return fences("README.md", readFileSync(join(ROOT, "README.md"), "utf8"));
}

function fences(file: string, text: string): Example[] {
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, code = ""], index) => ({
    name: `${file} ${index + 1}`,
    code,
  }));
}
