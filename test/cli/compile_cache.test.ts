import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll, describe, test } from "#test";
import { VERSION } from "../../lib/core/version.ts";
import { RUNTIME } from "./child.ts";

const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
const onDeno = "Deno" in globalThis;
const isRoot = process.getuid?.() === 0;

const work = mkdtempSync(join(tmpdir(), "enclave-kms-cache-"));

/** Runs `--version` with no variables but these and PATH. */
function start(env: Readonly<Record<string, string>>): Promise<{ code: number | null; output: string }> {
  const [program = "", ...args] = RUNTIME;
  const child = spawn(program, [...args, MAIN, "--version"], {
    env: { PATH: process.env["PATH"] ?? "", NO_COLOR: "1", ...env },
    // A relative home would be made here.
    cwd: work,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Uint8Array) => output += String(chunk));
  }
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}

async function assertStarts(env: Readonly<Record<string, string>>): Promise<void> {
  assert.deepEqual(await start(env), { code: 0, output: `enclave-kms ${VERSION}\n` });
}

/** Lists what is kept in a folder of caches. */
function kept(folder: string): string[] {
  const place = join(folder, "enclave-kms/compiled");
  return existsSync(place) ? readdirSync(place, { recursive: true }).map(String) : [];
}

function folder(name: string): string {
  const path = join(work, name);
  mkdirSync(path, { mode: 0o700 });
  return path;
}

describe("the cache of compiled code", () => {
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  test.skipIf(onDeno)(
    `is below the home, for its owner only${onDeno ? " (skipped: Deno has its own)" : ""}`,
    async () => {
      const home = folder("home");
      await assertStarts({ HOME: home });
      assert.ok(kept(join(home, ".cache")).length > 1);
      // Once more, with what was kept.
      await assertStarts({ HOME: home });
    },
  );

  test.skipIf(onDeno)(
    `is where XDG_CACHE_HOME says${onDeno ? " (skipped: Deno has its own)" : ""}`,
    async () => {
      const [home, caches] = [folder("unused"), folder("caches")];
      await assertStarts({ HOME: home, XDG_CACHE_HOME: caches });
      assert.ok(kept(caches).length > 1);
      assert.deepEqual(readdirSync(home), []);
    },
  );

  test.skipIf(onDeno)(
    `is not used where others could write${onDeno ? " (skipped: Deno has its own)" : ""}`,
    async () => {
      const [open, inside] = [folder("open"), folder("inside")];
      chmodSync(open, 0o777);
      await assertStarts({ XDG_CACHE_HOME: open });
      assert.deepEqual(kept(open), []);
      assert.deepEqual(readdirSync(open), [], "nothing is made there either");
      mkdirSync(join(inside, "enclave-kms"));
      chmodSync(join(inside, "enclave-kms"), 0o770);
      await assertStarts({ XDG_CACHE_HOME: inside });
      assert.deepEqual(kept(inside), []);
      // Nor where others could read: Node.js makes folders in there by the umask.
      const readable = join(folder("readable"), "enclave-kms/compiled");
      mkdirSync(readable, { recursive: true });
      chmodSync(readable, 0o755);
      await assertStarts({ XDG_CACHE_HOME: join(work, "readable") });
      assert.deepEqual(readdirSync(readable), []);
    },
  );

  const NOT_ROOT = isRoot ? "" : " (skipped: only root can give files away)";
  test.skipIf(onDeno || !isRoot)(
    `is not used in somebody else's home${onDeno ? " (skipped: Deno has its own)" : NOT_ROOT}`,
    async () => {
      const [foreign, own] = [folder("foreign"), folder("own")];
      chownSync(foreign, 65_534, 65_534);
      for (const env of [{ XDG_CACHE_HOME: foreign }, { HOME: foreign }]) {
        await assertStarts(env);
        assert.deepEqual(readdirSync(foreign), [], "nothing is made there either");
      }
      // A link of theirs leads elsewhere as soon as they like.
      const link = join(foreign, "link");
      symlinkSync(own, link);
      await assertStarts({ XDG_CACHE_HOME: link });
      assert.deepEqual(readdirSync(own), []);
      const given = join(work, "given");
      symlinkSync(own, given);
      lchownSync(given, 65_534, 65_534);
      await assertStarts({ XDG_CACHE_HOME: given });
      assert.deepEqual(readdirSync(own), []);
    },
  );

  const file = join(work, "file");
  writeFileSync(file, "");
  const homes: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    "no home": {},
    "an empty HOME": { HOME: "" },
    "a relative HOME": { HOME: "home" },
    // Deno itself does not start there.
    ...onDeno ? {} : { "a home that is a file": { HOME: file } },
    "a cache folder that is a file": { HOME: work, XDG_CACHE_HOME: file },
  };
  for (const [name, env] of Object.entries(homes)) {
    test(`is not needed: ${name}`, async () => {
      await assertStarts(env);
    });
  }
});
