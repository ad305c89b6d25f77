import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, test } from "#test";
import { bundleApplication } from "../../../deploy/bundle/bundle_application.ts";
import { licensesOf } from "../../../deploy/bundle/bundle_files.ts";
import { replaceBundle } from "../../../deploy/bundle/replace_bundle.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-replaced-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...path: readonly string[]) => join(folder, ...path);

function write(path: string, content: string): void {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), content);
}

function bundle(output: string) {
  write("main.ts", "console.log(1);\n");
  const [entry, runtime] = [at("main.ts"), "node"] as const;
  return bundleApplication({ entry, runtime, architectures: ["x86_64"], output: at(output) });
}

const isRefused = (bundling: Promise<unknown>, message: RegExp) =>
  assert.rejects(bundling, { name: "ImageError", message });

/** Asserts that a refusal left nothing behind beside the place. */
const hasNoRest = () =>
  assert.deepEqual(readdirSync(folder).filter((name) => /\.(?:part|old)$/.test(name)), []);

describe("bundleApplication() into a place that is taken", () => {
  test("replaces a bundle, an empty folder, and what is not there", async () => {
    const made = await bundle("same");
    assert.deepEqual(await bundle("same"), made);
    mkdirSync(at("empty"));
    await bundle("empty");
    assert.deepEqual(readdirSync(at("empty")).sort(), readdirSync(at("same")).sort());
    hasNoRest();
  });

  test("removes no folder for the sake of a file that is called bundle.json", async () => {
    await bundle("mine");
    const own = readFileSync(at("mine/bundle.json"), "utf8");
    const descriptions = ["{}", "[]", "", '{"name":"of a browser"}', own.replace(": 1,", ": 2,")];
    for (const [index, description] of descriptions.entries()) {
      write(`home-${index}/bundle.json`, description);
      write(`home-${index}/letters.txt`, "dear");
      await isRefused(bundle(`home-${index}`), /it holds something that is no bundle/);
      assert.equal(readFileSync(at(`home-${index}/letters.txt`), "utf8"), "dear");
    }
    hasNoRest();
  });

  test("removes no bundle with a file, or a link, of somebody else's beside its own", async () => {
    await bundle("more");
    write("more/deep/letters.txt", "dear");
    await isRefused(bundle("more"), /it holds deep\/letters\.txt, which is no part of the bundle/);
    assert.equal(readFileSync(at("more/deep/letters.txt"), "utf8"), "dear");
    await bundle("linked");
    symlinkSync(at("main.ts"), at("linked/link"));
    await isRefused(bundle("linked"), /it holds something that is no bundle/);
    assert.ok(readdirSync(at("linked")).includes("link"));
    hasNoRest();
  });

  test("says that a file is no folder, and so is a link to nothing", async () => {
    write("file", "mine");
    symlinkSync(at("nowhere"), at("dangling"));
    for (const name of ["file", "dangling"]) await isRefused(bundle(name), /it is no folder/);
    assert.equal(readFileSync(at("file"), "utf8"), "mine");
    hasNoRest();
  });

  test("moves back what became something else while it bundled", async () => {
    await bundle("late");
    const bundling = bundle("late");
    write("late/letters.txt", "dear");
    await isRefused(bundling, /letters\.txt/);
    assert.equal(readFileSync(at("late/letters.txt"), "utf8"), "dear");
    assert.ok(readdirSync(at("late")).includes("app.js"));
    hasNoRest();
  });
});

describe("replaceBundle()", () => {
  test("checks what it moved aside, and moves it back", async () => {
    write("draft/app.js", "");
    write("place/letters.txt", "dear");
    await isRefused(replaceBundle(at("draft"), at("place")), /Cannot bundle into place: /);
    assert.deepEqual([readdirSync(at("draft")), readdirSync(at("place"))], [["app.js"], ["letters.txt"]]);
    hasNoRest();
  });
});

describe("licensesOf()", () => {
  test("reads no licence through a link, and takes the next that is a file", () => {
    write("key.pem", "of the builder");
    for (const name of ["one", "two"]) {
      write(`${name}/package.json`, JSON.stringify({ name, version: "1", license: "MIT" }));
      symlinkSync(at("key.pem"), at(name, "LICENSE"));
    }
    write("two/LICENSE.md", "of two");
    const text = licensesOf([at("one"), at("two")]);
    assert.match(text, /^one 1 \(MIT\)\n\nLicensed under MIT\.\n\n=+\ntwo 1 \(MIT\)\n\nof two$/);
  });
});
