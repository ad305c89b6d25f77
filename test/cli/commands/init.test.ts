import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { Buffer } from "node:buffer";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, test } from "#test";
import { ROOT } from "../../support/source_files.ts";
import { runHere } from "../terminal_double.ts";

const KINDS = ["signer", "server", "secret-loader"];

/** Makes a tarball with one file, as far as `init` reads it. */
function tarball(text: string, name = "package/package.json"): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  const head = new Uint8Array(512);
  head.set(new TextEncoder().encode(name));
  head.set(new TextEncoder().encode(bytes.length.toString(8).padStart(11, "0")), 124);
  const body = new Uint8Array(Math.ceil(bytes.length / 512) * 512);
  body.set(bytes);
  return gzipSync(Buffer.concat([head, body, new Uint8Array(1024)]));
}

describe("enclave-kms init", () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-init-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const packed = join(folder, "packed.tgz");
  writeFileSync(packed, tarball(JSON.stringify({ name: "enclave-kms", version: "0.1.0" })));
  const place = (...names: string[]) => join(folder, ...names);
  const init = (kind: string, path: string, from = packed) =>
    runHere(["init", kind, path, "--package", from]);

  for (const kind of KINDS) {
    test(`writes a whole ${kind}, whose name and tarball are filled in`, async () => {
      const path = place(`my-${kind}`);
      const { code, stdout, stderr } = await init(kind, path);
      assert.deepEqual([code, stderr], [0, ""]);
      assert.match(stdout, /npm install && npm test/);
      const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) =>
        entry.isFile()
      )
        .map((entry) => join(entry.parentPath, entry.name));
      const names = files.map((file) => file.slice(path.length + 1));
      const expected = [
        "README.md",
        "main.ts",
        "policy.cedar",
        "config.json",
        "parent.json",
        "deno.json",
        ".gitignore",
      ];
      for (const name of [...expected, "package.json"]) assert.ok(names.includes(name), name);
      for (const file of files.filter((file) => !file.endsWith(".tgz"))) {
        const text = readFileSync(file, "utf8");
        assert.doesNotMatch(text, /\{\{|\}\}\}/, file);
        if (file.endsWith(".json")) JSON.parse(text);
      }
      assert.deepEqual(readFileSync(join(path, "vendor/enclave-kms-0.1.0.tgz")), readFileSync(packed));
    });

    test(`${kind} has this repository's versions, and takes the package from its own folder`, async () => {
      const path = place(`versions-${kind}`);
      await init(kind, path);
      const { name, dependencies, devDependencies } = JSON.parse(
        readFileSync(join(path, "package.json"), "utf8"),
      );
      const own = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).devDependencies;
      assert.equal(name, `versions-${kind}`);
      const { "enclave-kms": library, ...others } = { ...dependencies, ...devDependencies };
      assert.equal(library, "file:vendor/enclave-kms-0.1.0.tgz");
      for (const [name, version] of Object.entries(others)) assert.equal(version, own[name], name);
    });

    test(`the parent takes the configuration of ${kind}`, async () => {
      const path = place(`parent-${kind}`);
      await init(kind, path);
      const { code, stdout, stderr } = await runHere([
        "parent",
        "--config",
        join(path, "parent.json"),
        "--print-config",
      ]);
      assert.equal(code, 0, stderr);
      assert.equal(JSON.parse(stdout).enclaveName, `parent-${kind}`);
    });

    test(`the policy of ${kind} loads`, async () => {
      const path = place(`policy-${kind}`);
      await init(kind, path);
      const actions = kind === "signer" ? ["SignMessage"] : kind === "server" ? [] : ["MakeCode"];
      const flags = actions.flatMap((action) => ["--action", action]);
      const { code, stderr } = await runHere(["policy", "check", join(path, "policy.cedar"), ...flags]);
      assert.equal(code, 0, stderr);
    });
  }

  test("takes an empty folder, and changes nothing in one that holds something", async () => {
    mkdirSync(place("empty"));
    assert.equal((await init("signer", place("empty"))).code, 0);
    mkdirSync(place("full"));
    writeFileSync(place("full", "notes"), "mine");
    const { code, stderr } = await init("signer", place("full"));
    assert.equal(code, 1);
    assert.match(stderr, /must be new, or empty/);
    assert.deepEqual(readdirSync(place("full")), ["notes"]);
  });

  test("follows no link in the place of the folder, and replaces no file", async () => {
    mkdirSync(place("target"));
    symlinkSync(place("target"), place("link"));
    symlinkSync(place("nowhere"), place("dangling"));
    writeFileSync(place("file"), "mine");
    for (const name of ["link", "dangling", "file"]) {
      const { code, stderr } = await init("server", place(name));
      assert.equal(code, 1, name);
      assert.match(stderr, /must be new, or empty/);
    }
    assert.deepEqual(readdirSync(place("target")), []);
    assert.ok(!existsSync(place("nowhere")));
    assert.equal(readFileSync(place("file"), "utf8"), "mine");
  });

  test("refuses names that are more than a name, and does not repeat them", async () => {
    const hostile = [
      "A",
      "a b",
      'a"b',
      "a$(b)",
      "{{package}}",
      ".hidden",
      "-x\u202e",
      "1a",
      "a_b",
      "a".repeat(64),
      "é",
    ];
    for (const name of hostile) {
      const { code, stderr } = await runHere(["init", "signer", "--package", packed, "--", place(name)]);
      assert.equal(code, 1, name);
      assert.match(stderr, /The folder's name must be a-z/);
      assert.ok(!existsSync(place(name)), name);
    }
    assert.equal((await init("signer", "/")).code, 1);
    assert.equal((await init("signer", "..")).code, 1);
  });

  test("leaves nothing behind when the place cannot be written", async () => {
    const before = readdirSync(folder).sort();
    const { code, stderr } = await init("signer", place("missing", "app"));
    assert.equal(code, 1);
    assert.match(stderr, /The folder must be one that can be made/);
    assert.deepEqual(readdirSync(folder).sort(), before);
  });

  const bad: Readonly<Record<string, readonly [Uint8Array | string, RegExp]>> = {
    "is none": ["text", /must be a tarball/],
    "is another package": [tarball('{"name":"left","version":"1.0.0"}'), /must hold enclave-kms/],
    "has no manifest": [tarball("{}", "package/readme"), /must have a package\.json/],
    "has a manifest that is no JSON": [tarball("{"), /is JSON/],
    "has a manifest that is null": [tarball("null"), /must hold enclave-kms/],
    "has a version that leads elsewhere": [
      tarball('{"name":"enclave-kms","version":"../../1"}'),
      /a version such as/,
    ],
  };
  for (const [index, [name, [content, expected]]] of Object.entries(bad).entries()) {
    test(`refuses a tarball that ${name}, and writes nothing`, async () => {
      const path = place(`bad${index}`);
      writeFileSync(`${path}.tgz`, content);
      const { code, stderr } = await init("signer", path, `${path}.tgz`);
      assert.equal(code, 1);
      assert.match(stderr, expected);
      assert.ok(!existsSync(path));
    });
  }

  test("says how to make the tarball where there is none", async () => {
    const without = await runHere(["init", "signer", place("without")]);
    assert.equal(without.code, 1);
    assert.match(without.stderr, /--package must be set.*npm pack/);
    for (const path of [place("no.tgz"), folder]) {
      const { code, stderr } = await init("signer", place("without"), path);
      assert.equal(code, 1);
      assert.match(stderr, /--package must be a file.*npm pack/);
    }
    assert.ok(!existsSync(place("without")));
  });
});
