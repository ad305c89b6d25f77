import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, describe } from "#test";
import { ownUrl } from "../../../lib/core/own_url.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests();

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const BUILD = join(ROOT, "build");

const onDeno = "Deno" in globalThis;
const COMMAND = onDeno ? ["run", "--quiet", "--no-prompt", "--allow-all"] : [];

/** Decrypts, calls C, and asks Cedar, which lies in a file of its package. */
const PROGRAM = `
import { KmsClient } from "./mod.ts";
import { NsmClient } from "./lib/nsm/mod.ts";
import { cedarPolicy } from "./lib/policy/mod.ts";
import { startSimulator } from "./sim/mod.ts";

async function main() {
  const enclave = await startSimulator();
  const { keyId } = await enclave.createKey();
  const ciphertext = await enclave.encrypt({ keyId, plaintext: "attack at dawn" });
  const client = await KmsClient.open({ ...enclave.clientOptions, engine: "direct" });
  const plaintext = await client.decrypt({ ciphertext });
  const policy = cedarPolicy("permit (principal, action, resource);", { actions: ["Decrypt"] });
  console.log(new TextDecoder().decode(plaintext.bytes), policy.name);
  plaintext[Symbol.dispose]();
  try {
    NsmClient.open("/no/such/device");
  } catch (error) {
    console.log(error.code);
  }
  await client.close();
  await enclave.close();
}
main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
`;

mkdirSync(BUILD, { recursive: true });
const folder = mkdtempSync(join(BUILD, "own-url-"));

describe("a bundle of a program", () => {
  afterAll(() => rmSync(folder, { recursive: true }));

  for (
    const [name, format, define] of [
      ["as an ES module", "esm", {}],
      ["as a CommonJS module, which has no import.meta.url", "cjs", {}],
      ["as one with the URL of where it was built", "cjs", { "import.meta.url": '"file:///nowhere/x.js"' }],
    ] as const
  ) {
    test(`${name}: decrypts, and finds libc and Cedar`, async () => {
      const outfile = join(folder, `${Object.keys(define).length}.${format === "cjs" ? "cjs" : "mjs"}`);
      await build({
        stdin: { contents: PROGRAM, resolveDir: ROOT, loader: "ts" },
        outfile,
        bundle: true,
        platform: "node",
        target: "node22",
        conditions: onDeno ? ["deno"] : [],
        external: ["@cedar-policy/cedar-wasm"],
        format,
        define,
        logLevel: "error",
      });
      const { status, stdout, stderr } = spawnSync(process.execPath, [...COMMAND, outfile], {
        encoding: "utf8",
      });
      assert.deepEqual([status, stdout, stderr], [
        0,
        "attack at dawn cedar\nERR_ATTESTATION_UNAVAILABLE\n",
        "",
      ]);
    });
  }
});

describe("ownUrl()", () => {
  test("is the module's own URL in a module, wherever that is", () => {
    assert.equal(ownUrl(import.meta.url), import.meta.url);
    assert.equal(ownUrl("https://jsr.io/@enclave-kms/x.ts"), "https://jsr.io/@enclave-kms/x.ts");
  });
});
