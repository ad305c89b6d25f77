import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, describe, test } from "#test";
import { CEDAR_WASM_FILE, CedarInstance } from "../../../../lib/policy/cedar/cedar_module.ts";
import { cedarSchema } from "../../../support/policies.ts";

const LIB = fileURLToPath(new URL("../../../../lib", import.meta.url));
const BUILD = fileURLToPath(new URL("../../../../build", import.meta.url));
const CEDAR = createRequire(import.meta.url).resolve("@cedar-policy/cedar-wasm/nodejs")
  .replace("cedar_wasm.js", CEDAR_WASM_FILE);

const SCHEMA = { name: "s", json: JSON.stringify(cedarSchema()) };
const SUCCESS = '{"type":"success"}';

mkdirSync(BUILD, { recursive: true });
const folder = mkdtempSync(join(BUILD, "cedar-"));

/** Copies the room, with a file beside it as a bundle has, or none. */
async function roomWith(
  name: string,
  wasm: Uint8Array | undefined,
  parent = folder,
): Promise<typeof import("../../../../lib/policy/cedar/cedar_module.ts")> {
  const room = join(parent, name);
  for (const folder of ["core", "policy"]) cpSync(join(LIB, folder), join(room, folder), { recursive: true });
  // Away from the repository nothing else says that these are modules.
  writeFileSync(join(room, "package.json"), '{"type":"module"}');
  if (wasm !== undefined) writeFileSync(join(room, "policy/cedar", CEDAR_WASM_FILE), wasm);
  return await import(pathToFileURL(join(room, "policy/cedar/cedar_module.ts")).href);
}

/** Counts the modules that WebAssembly compiles meanwhile. */
function countCompilations(run: () => void): number {
  const { WebAssembly: engine } = globalThis as unknown as {
    WebAssembly: { Module: new (...args: never[]) => object };
  };
  const { Module } = engine;
  let count = 0;
  engine.Module = class extends Module {
    constructor(...args: never[]) {
      super(...args);
      count++;
    }
  };
  try {
    run();
  } finally {
    engine.Module = Module;
  }
  return count;
}

describe("CedarInstance", () => {
  afterAll(() => rmSync(folder, { recursive: true }));

  test("answers, and says what it took", () => {
    const cedar = new CedarInstance();
    const { json, fuelUsed } = cedar.call("preparseSchema", SCHEMA, 10_000_000);
    assert.equal(json, SUCCESS);
    assert.equal(new CedarInstance().call("preparseSchema", SCHEMA, 10_000_000).fuelUsed, fuelUsed);
    assert.ok(cedar.memoryBytes <= 64 << 20);
  });

  test("instances know nothing of each other", () => {
    const [one, other] = [new CedarInstance(), new CedarInstance()];
    one.call("preparseSchema", SCHEMA, 10_000_000);
    assert.throws(() => one.call("preparseSchema", SCHEMA, 10), /unreachable/);
    assert.ok(one.isOutOfFuel);
    assert.equal(other.call("preparseSchema", SCHEMA, 10_000_000).json, SUCCESS);
    assert.equal(other.isOutOfFuel, false);
  });

  test("is compiled once in a process, and instantiated for each policy", async () => {
    const room = await roomWith("counted", new Uint8Array(readFileSync(CEDAR)));
    const compiled = countCompilations(() => {
      for (let i = 0; i < 3; i++) new room.CedarInstance();
    });
    assert.equal(compiled, 1);
  });

  test("memory ends at 64 MiB", () => {
    const cedar = new CedarInstance();
    const policies = { staticPolicies: "permit(principal, action, resource);".repeat(200_000) };
    assert.throws(() =>
      cedar.call("validate", { json: JSON.stringify({ schema: "", policies }) }, 2_000_000_000)
    );
    assert.ok(cedar.memoryBytes <= 64 << 20, `${cedar.memoryBytes}`);
  });

  test("text comes back as it went, in any script", () => {
    const uid = { type: "A", id: "a" };
    const call = { principal: uid, action: uid, resource: uid, context: {}, entities: [] };
    const json = JSON.stringify({ ...call, preparsedPolicySetId: '\u{1f511}\u00e4"' });
    const answer = new CedarInstance().call("statefulIsAuthorized", { json }, 10_000_000);
    assert.match(JSON.parse(answer.json).errors[0].message, /'\u{1f511}\u00e4"' not found/u);
  });

  test("takes the file beside it, and no other than the expected one", async () => {
    const genuine = new Uint8Array(readFileSync(CEDAR));
    const good = await roomWith("good", genuine);
    assert.equal(new good.CedarInstance().call("preparseSchema", SCHEMA, 10_000_000).json, SUCCESS);
    genuine[genuine.length - 1]! ^= 1;
    const bad = await roomWith("bad", genuine);
    assert.throws(() => new bad.CedarInstance(), {
      code: "ERR_LIBRARY_LOAD",
      message: "Cannot load Cedar: cedar_wasm_bg.wasm is not the file of version 4.13.0",
      hint: "Is @cedar-policy/cedar-wasm installed at the version that package.json names?",
    });
  });

  test("says when there is no file at all", async () => {
    const outside = mkdtempSync(join(tmpdir(), "enclave-kms-cedar-"));
    try {
      const room = await roomWith("without", undefined, outside);
      assert.throws(() => new room.CedarInstance(), {
        code: "ERR_LIBRARY_LOAD",
        message: "Cannot load Cedar: cedar_wasm_bg.wasm is not there",
        hint:
          "Policies in Cedar need an optional package: npm install @cedar-policy/cedar-wasm@4.13.0, or the file beside the bundle",
      });
    } finally {
      rmSync(outside, { recursive: true });
    }
  });
});
