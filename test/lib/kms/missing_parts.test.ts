import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { describe, test } from "#test";
import { missingRight } from "../../../lib/core/missing_right.ts";

const onDeno = "Deno" in globalThis;
const fileOf = (name: string) => fileURLToPath(new URL(`../../support/${name}`, import.meta.url));

async function run(args: readonly string[]): Promise<string[]> {
  // By its name: with its own path, Deno would hand its permissions on.
  const { stdout } = await promisify(execFile)(onDeno ? "deno" : process.execPath, args);
  return stdout.trim().split("\n");
}

describe("a runtime without WebAssembly (--jitless)", () => {
  test("is named when a policy is loaded", async () => {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-jitless-"));
    try {
      const lines = await run(
        onDeno
          ? ["run", "-A", "--quiet", "--no-check", "--v8-flags=--jitless", fileOf("jitless_child.ts")]
          : ["--jitless", await bundle(join(folder, "child.mjs"))],
      );
      assert.equal(lines.length, 2);
      for (const line of lines) {
        assert.deepEqual(JSON.parse(line), {
          name: "PolicyLoadError",
          code: "ERR_POLICY_LOAD",
          message: "Cannot load the policy: this runtime has no WebAssembly",
          hint: "Policies run in WebAssembly: is it switched off, by --jitless or --disable-wasm?",
        });
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe.skipIf(!onDeno)(`Deno without a permission${onDeno ? "" : " (skipped: of Deno)"}`, () => {
  test("names the flag that a connection to KMS wants", async () => {
    for (
      const [endpoint, hint] of [
        [{ transport: "tcp", host: "127.0.0.1", port: 1 }, /run it with --allow-net=127\.0\.0\.1:1\)$/],
        [{ transport: "unix", path: "/tmp/none.sock" }, /run it with --allow-read\)$/],
      ] as const
    ) {
      const [line = ""] = await run([
        ...["run", "--quiet", "--no-prompt", "--no-check", fileOf("connecting_child.ts")],
        JSON.stringify(endpoint),
      ]);
      assert.match(
        line,
        /^ConnectionError: Cannot connect to KMS: .* does not answer \(permission missing\) /,
      );
      assert.match(line, hint);
    }
  });
});

describe("missingRight()", () => {
  test("names the flag, and is silent about other failures", () => {
    const notCapable = Object.assign(
      new Error('Requires net access to "a:1", run again with the --allow-net flag'),
      {
        name: "NotCapable",
      },
    );
    const denied = (permission: string) =>
      Object.assign(new Error("Access restricted"), { code: "ERR_ACCESS_DENIED", permission });
    assert.equal(missingRight(notCapable, "a:1"), "Deno lacks a permission: run it with --allow-net=a:1");
    assert.equal(missingRight(notCapable), "Deno lacks a permission: run it with --allow-net");
    assert.equal(missingRight(denied("Net")), "Node.js runs with --permission: it needs --allow-net");
    assert.equal(
      missingRight(denied("WorkerThreads")),
      "Node.js runs with --permission: it needs --allow-worker",
    );
    assert.equal(
      missingRight(denied("New")),
      "Node.js runs with --permission: it needs one more --allow flag",
    );
    for (const other of [new Error("--allow-net"), undefined, "NotCapable"]) {
      assert.equal(missingRight(other), undefined);
    }
  });
});

/** Without a just-in-time compiler, Node.js takes no TypeScript. */
async function bundle(outfile: string): Promise<string> {
  await build({
    entryPoints: [fileOf("jitless_child.ts")],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    logLevel: "error",
  });
  return outfile;
}
