import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "#test";
import { copyCedar, copyKoffi } from "../../../deploy/bundle/native_parts.ts";
import { ImageError } from "../../../lib/core/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-parts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(path: string, content: string): void {
  mkdirSync(join(folder, path, ".."), { recursive: true });
  writeFileSync(join(folder, path), content);
}

describe("the parts beside a bundle", () => {
  test("bring no file of this machine along by a link in their package", () => {
    write("secret", "a key of this machine");
    write("node_modules/koffi/package.json", '{ "name": "koffi" }');
    symlinkSync(join(folder, "secret"), join(folder, "node_modules/koffi/LICENSE.txt"));
    write("node_modules/@cedar-policy/cedar-wasm/package.json", '{ "name": "@cedar-policy/cedar-wasm" }');
    mkdirSync(join(folder, "node_modules/@cedar-policy/cedar-wasm/nodejs"));
    const wasm = "node_modules/@cedar-policy/cedar-wasm/nodejs/cedar_wasm_bg.wasm";
    symlinkSync(join(folder, "secret"), join(folder, wasm));
    const [from, bundle] = [join(folder, "app.js"), join(folder, "bundle")];
    for (const copy of [() => copyKoffi(from, bundle, []), () => copyCedar(from, bundle)]) {
      assert.throws(copy, (error) => error instanceof ImageError && /it is no file$/.test(error.message));
    }
    assert.deepEqual(readdirSync(join(bundle, "node_modules/koffi")), ["package.json"]);
  });
});
