import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, test } from "#test";
import { COMMON_JS } from "../../deploy/bundle/bundle_files.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const KOFFI = join(ROOT, "node_modules/koffi");
const NAME = `@koromix/koffi-${process.platform}-${process.arch}`;
const ADDON = join(ROOT, "node_modules", NAME);

const onDeno = "Deno" in globalThis;
const REASON = onDeno ? " (skipped: Deno calls C by itself, and never loads koffi)" : "";

const HERE = "in the program's node_modules, or in one beside its bundle";
const LEFT_OUT = "--omit=optional and installing on another platform leave it out";
const AGAIN = `Install koffi and ${NAME} again, in one version and on this platform`;
const NOT_INSTALLED = { reason: "koffi is not installed", hint: `Install koffi and ${NAME} ${HERE}` };
const DISABLED = {
  reason: "Node.js may not load native code",
  hint: "Run node with --allow-addons, or without --permission and --no-addons",
};

interface Case {
  readonly name: string;
  /** Puts into an empty folder what lies beside the bundle. */
  readonly lay?: (modules: string) => void;
  readonly flags?: readonly string[];
  readonly bundle?: string;
  readonly reason: string;
  readonly hint: string;
}

const layKoffi = (modules: string) => cpSync(KOFFI, join(modules, "koffi"), { recursive: true });

const layBoth = (modules: string) => {
  layKoffi(modules);
  cpSync(ADDON, join(modules, NAME), { recursive: true });
};

const CASES: readonly Case[] = [
  { name: "koffi is not installed", ...NOT_INSTALLED },
  { name: "koffi is not installed beside a CommonJS bundle", bundle: "bundle.cjs", ...NOT_INSTALLED },
  {
    name: "optional dependencies were left out",
    lay: layKoffi,
    reason: "koffi's native part is missing",
    hint: `Install ${NAME} ${HERE}: ${LEFT_OUT}`,
  },
  {
    name: "a bundle holds koffi, and its native part does not lie beside it",
    bundle: "inside.mjs",
    reason: "koffi's native part is missing",
    hint: `Install ${NAME} in build/koffi, two folders above this bundle: ${LEFT_OUT}`,
  },
  {
    name: "koffi and its native part are of two versions",
    lay: (modules) => {
      layBoth(modules);
      const file = join(modules, "koffi/src/koffi/index.cjs");
      writeFileSync(file, readFileSync(file, "utf8").replaceAll(/(?<=version: ")[\d.]+/g, "0.0.1"));
    },
    reason: "koffi does not load: Mismatched native Koffi modules",
    hint: AGAIN,
  },
  {
    name: "the native part is of another platform",
    lay: (modules) => {
      layBoth(modules);
      writeFileSync(
        join(modules, NAME, "index.js"),
        'throw new Error("invalid ELF header\\nRequire stack:");',
      );
    },
    reason: "koffi does not load: invalid ELF header",
    hint: AGAIN,
  },
  { name: "--no-addons", lay: layBoth, flags: ["--no-addons"], ...DISABLED },
  {
    name: "--permission without --allow-addons",
    lay: layBoth,
    flags: ["--permission", "--allow-fs-read=*"],
    ...DISABLED,
  },
  {
    name: "--permission without --allow-fs-read of koffi",
    lay: layBoth,
    flags: ["--permission", "--allow-addons", "--no-warnings", "--allow-fs-read=BUNDLE"],
    reason: "Node.js may not read koffi",
    hint: `Run node with --allow-fs-read for koffi and ${NAME}`,
  },
];

describe.skipIf(onDeno)(`Node.js that cannot call C${REASON}`, () => {
  let work = "";

  beforeAll(async () => {
    // Not within the repository, whose node_modules would be found.
    work = mkdtempSync(join(tmpdir(), "enclave-kms-koffi-"));
    await Promise.all(["bundle.mjs", "bundle.cjs", "inside.mjs"].map((name) => bundle(join(work, name))));
  });
  afterAll(() => rmSync(work, { recursive: true }));

  for (const [index, { name, lay, flags = [], bundle = "bundle.mjs", reason, hint }] of CASES.entries()) {
    test(`${name}: the package loads, and what needs C says so`, async () => {
      const folder = join(work, String(index), "lib/app");
      mkdirSync(folder, { recursive: true });
      const program = join(folder, bundle);
      cpSync(join(work, bundle), program);
      lay?.(join(folder, "node_modules"));
      const args = [...flags.map((flag) => flag.replace("BUNDLE", program)), program];
      const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { env: {} });
      const [usable, ...attempts] = stdout.trim().split("\n").map((line) => JSON.parse(line));
      const { node: version } = process.versions;
      const crypto = {
        provider: "node:crypto",
        version,
        origin: "node",
        reason: `Cannot call C: ${reason}`,
        hint,
      };
      assert.deepEqual(usable, { usable: true, hex: "00", crypto });
      assert.equal(attempts.length, 7);
      for (const { name, ...error } of attempts) {
        assert.deepEqual(
          error,
          { code: "ERR_LIBRARY_LOAD", message: `Cannot call C: ${reason}`, hint },
          name,
        );
      }
      assert.equal(stderr, "");
    });
  }
});

async function bundle(outfile: string): Promise<void> {
  await build({
    entryPoints: [join(ROOT, "test/support/no_koffi_child.ts")],
    outfile,
    bundle: true,
    platform: "node",
    target: "node22",
    format: outfile.endsWith(".cjs") ? "cjs" : "esm",
    conditions: outfile.endsWith("inside.mjs") ? ["koffi-inside"] : [],
    banner: outfile.endsWith("inside.mjs") ? { js: COMMON_JS } : {},
    logLevel: "error",
  });
}
