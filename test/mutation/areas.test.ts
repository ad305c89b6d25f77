import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, matchesGlob } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { AREAS, LEFT_OUT } from "./areas.ts";
import { UNNOTICEABLE, unnoticeable } from "./equivalents.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

const sources = ["lib", "ffi", "aws_sdk"].flatMap(listTypeScript);
const all = [...sources, ...listTypeScript("enclave")];
const tests = listTypeScript("test").filter((path) => path.endsWith(".test.ts"));
const mutated = Object.values(AREAS).flatMap(({ mutate }) => mutate);

describe("mutation testing", () => {
  test("every file of the library is in an area, or left out for a reason", () => {
    const known = [...mutated, ...Object.keys(LEFT_OUT)].filter((glob) => !glob.startsWith("!"));
    const strangers = sources.filter((path) => !known.some((glob) => matchesGlob(path, glob)));
    assert.deepEqual(strangers, [], "Add them to an area in test/mutation/areas.ts");
  });

  test("every area has files, and every glob of tests finds some", () => {
    for (const [name, { mutate, tests: globs }] of Object.entries(AREAS)) {
      assert.ok(all.some((path) => mutate.some((glob) => matchesGlob(path, glob))), name);
      for (const glob of globs) assert.ok(tests.some((path) => matchesGlob(path, glob)), `${name}: ${glob}`);
    }
    for (const glob of Object.keys(LEFT_OUT)) {
      assert.ok(sources.some((path) => matchesGlob(path, glob)), `there is no ${glob} any more`);
    }
  });

  test("what is said to be unnoticeable is still there", () => {
    for (const known of UNNOTICEABLE) {
      const { file, text, line = "", replacement } = known;
      const source = readFileSync(join(ROOT, file), "utf8");
      assert.ok(source.replaceAll(/\s*\n\s*/g, " ").includes(text), `${file}: ${text}`);
      const found = source.split("\n").find((candidate) => candidate.includes(line));
      assert.ok(found !== undefined, `${file}: ${line}`);
      assert.equal(unnoticeable(file, text, found, replacement)?.why, known.why);
    }
    assert.equal(unnoticeable("lib/core/encoding.ts", "no such text", ""), undefined);
  });
});

function listTypeScript(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true })
    .map((name) => `${folder}/${String(name)}`)
    .filter((path) => path.endsWith(".ts"));
}
