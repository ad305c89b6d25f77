import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, test } from "#test";
import { type BundleFiles, listFiles } from "../../../deploy/bundle/bundle_files.ts";
import { makeManifest } from "../../../deploy/init/make_manifest.ts";
import { readBundle } from "../../../deploy/init/read_bundle.ts";
import { makeElf } from "../../support/elf.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-hostile-bundle-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...path: readonly string[]) => join(folder, ...path);

function write(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), content);
}

let count = 0;

/** Writes a bundle, and a description whose files are changed. */
function writeBundle(change: (files: BundleFiles) => unknown = (files) => files, more: object = {}): string {
  const name = `bundle-${count++}`;
  write(`${name}/app.js`, "serve();\n");
  const description = {
    bundleVersion: 1,
    runtime: "node",
    architectures: ["x86_64"],
    entry: "app.js",
    leftOut: [],
    files: change(listFiles(at(name))),
    ...more,
  };
  write(`${name}/bundle.json`, JSON.stringify(description));
  return at(name);
}

const HASH = "0".repeat(64);
const refused = (bundle: string, message: RegExp) =>
  assert.rejects(readBundle(bundle), { name: "ImageError", message });

describe("readBundle() of a hostile folder", () => {
  test("refuses a link where the description has no hash", async () => {
    write("secret", "of the builder");
    const bundle = writeBundle((files) => ({ ...files, "data.txt": {} }));
    symlinkSync(at("secret"), join(bundle, "data.txt"));
    await refused(bundle, /data\.txt of files must have a sha256/);
  });

  test("refuses links, to files and to folders, and what has no end", async () => {
    const linked = writeBundle((files) => ({ ...files, "data.txt": { bytes: 1, sha256: HASH } }));
    symlinkSync(at("secret"), join(linked, "data.txt"));
    await refused(linked, /data\.txt is a link/);
    const loop = writeBundle();
    mkdirSync(join(loop, "inside"));
    symlinkSync("..", join(loop, "inside/up"));
    symlinkSync("..", join(loop, "inside/again"));
    await refused(loop, /inside\/(?:up|again) is a link/);
    const pipe = writeBundle();
    assert.equal(spawnSync("mkfifo", [join(pipe, "pipe")]).status, 0);
    await refused(pipe, /pipe is no file/);
    const description = writeBundle();
    rmSync(join(description, "bundle.json"));
    symlinkSync(join(writeBundle(), "bundle.json"), join(description, "bundle.json"));
    await refused(description, /bundle\.json is a link/);
  });

  test("refuses files without hash or length, and an entry that is no path", async () => {
    const [bytes, sha256] = [9, HASH];
    const wrong = [null, 7, "a", [], {}, { bytes }, { sha256 }, { bytes: -1, sha256 }, {
      bytes: 1.5,
      sha256,
    }];
    const hashes = ["", HASH.slice(1), `${HASH}0`, `${HASH}\n`, "A".repeat(64), 7, [HASH], null];
    for (const record of [...wrong, ...hashes.map((hash) => ({ bytes, sha256: hash }))]) {
      await refused(writeBundle((files) => ({ ...files, "data.txt": record })), /data\.txt of files must /);
    }
    for (const files of [null, undefined, [], "app.js", 7]) {
      await refused(writeBundle(() => files), /files must be/);
    }
    for (const entry of [["app.js"], 7, null, "constructor", "__proto__"]) {
      await refused(writeBundle(undefined, { entry }), /entry must be one of files/);
    }
  });

  test("takes names that every object has for files that are missing, or new", async () => {
    const record = { bytes: 9, sha256: HASH };
    const named = Object.fromEntries([["__proto__", record], ["constructor", record]]);
    await refused(writeBundle((files) => Object.assign({ __proto__: null }, files, named)), /is missing/);
    const more = writeBundle();
    writeFileSync(join(more, "constructor"), "");
    await refused(more, /constructor is new/);
  });
});

describe("makeManifest() of hostile parts", () => {
  for (const name of ["bzImage", "init", "nsm.ko"]) write(name, "blob");
  const make = (interpreter: string, bundle = writeBundle(), meanwhile = () => {}) => {
    write("node", makeElf({ interpreter }));
    return makeManifest({
      output: at("image.json"),
      bundle,
      get runtimeBinary() { // read after the bundle was
        meanwhile();
        return at("node");
      },
      name: "orders",
      version: "1",
      kernel: at("bzImage"),
      init: at("init"),
      nsmModule: at("nsm.ko"),
      root: at("root"),
      environment: {},
      files: [],
      libraries: [],
    });
  };

  test("takes as loader what has its name, and is one for this processor", async () => {
    write("root/etc/shadow", "root:*:");
    write("root/etc/renamed/shadow", makeElf({}));
    write("root/lib/ld-keys", "x".repeat(100));
    write("root/lib/ld-arm.so.1", makeElf({ architecture: "aarch64" }));
    const wrong: readonly (readonly [string, RegExp])[] = [
      ["/etc/shadow", /\/etc\/shadow: it is the name of no loader/],
      ["/etc/renamed/shadow", /it is the name of no loader/],
      ["/etc/ld-linux.d/../shadow", /the path of its loader is none/],
      ["/lib/ld-keys", /it is no program in ELF/],
      ["/lib/ld-arm.so.1", /is for aarch64/],
      ["/lib/ld-gone.so.1", /Cannot find/],
    ];
    for (const [interpreter, message] of wrong) {
      await assert.rejects(make(interpreter), { name: "ImageError", message }, interpreter);
    }
    for (const name of ["lib64/ld-linux-x86-64.so.2", "lib/ld-musl-x86_64.so.1", "lib64/ld64.so.1"]) {
      write(`root/${name}`, makeElf({}));
      const { application } = await make(`/${name}`);
      assert.ok(application.some(({ path }) => path === name), name);
    }
  });

  test("takes no file that became a link after the bundle was read", async () => {
    write("root/lib64/ld-linux-x86-64.so.2", makeElf({}));
    const bundle = writeBundle();
    const swap = () => {
      rmSync(join(bundle, "app.js"));
      symlinkSync(at("secret"), join(bundle, "app.js"));
    };
    write("secret", "of the builder");
    const message = /app\.js changed while it was read/;
    await assert.rejects(make("/lib64/ld-linux-x86-64.so.2", bundle, swap), { name: "ImageError", message });
  });
});
