import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { HAS_VECTORS, readVector, SKIPPED, VECTORS, VECTORS_FOLDER } from "../lib/attestation/vectors.ts";

const TESTS = fileURLToPath(new URL("..", import.meta.url));
const FINDER = "lib/attestation/vectors.ts";
const HERE = "vectors/vectors.test.ts";

describe("genuine data", () => {
  const sources = new Map(
    readdirSync(TESTS, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts") && !path.includes("node_modules"))
      .map((path) => [relative(TESTS, join(TESTS, path)), readFileSync(join(TESTS, path), "utf8")]),
  );

  test.skipIf(!HAS_VECTORS)(
    `is all here where its folder is, and nothing lies there unread${SKIPPED}`,
    () => {
      for (const name of VECTORS) assert.ok(readVector(name).length > 0, name);
      const files = readdirSync(VECTORS_FOLDER).filter((name) => name !== "README.md");
      assert.deepEqual(files.sort(), [...VECTORS].sort());
    },
  );

  test("is looked for in one place, so that no test is skipped where the folder is", () => {
    const others = [...sources].filter(([path]) => path !== FINDER && path !== HERE);
    const seekers = others.filter(([, source]) => /shared\/vectors["'`/]/.test(source)).map(([path]) => path);
    assert.deepEqual(seekers, []);
    for (const [path, source] of others) {
      if (!source.includes("readVector(")) continue;
      assert.match(source, /skipIf\(!HAS_VECTORS\)|if \(!HAS_VECTORS\)/, path);
    }
    assert.match(sources.get(FINDER) ?? "", /HAS_VECTORS: boolean = existsSync\(VECTORS_FOLDER\);/);
  });

  test("is read by a test and described on the page beside this, file by file", () => {
    const page = readFileSync(join(TESTS, "vectors/README.md"), "utf8");
    const readers = [...sources].filter(([path]) => path !== HERE).map(([, source]) => source).join("\n");
    for (const name of VECTORS) {
      assert.ok(page.includes(`\`${name}\``), `${name} is not on the page`);
      assert.ok(readers.includes(`"${name}"`), `nobody reads ${name}`);
    }
  });
});
