import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const LIB = fileURLToPath(new URL("../../../lib", import.meta.url));

/** About asking the module, not about documents. */
const OF_THE_MODULE = ["UNAVAILABLE", "REFUSED", "ANSWER", "BUSY"];

/** About an enclave's signature over data. */
const OF_SIGNATURES = ["BOOT", "PURPOSE", "DATA"];

describe("the checks of attestation documents", () => {
  const source = readFileSync(`${LIB}/core/error_code.ts`, "utf8");
  const union = /type AttestationCheck =([^;]*);/.exec(source)?.[1] ?? "";
  const checks = [...union.matchAll(/"(\w+)"/g)].map(([, name = ""]) => name)
    .filter((name) => !OF_THE_MODULE.includes(name));

  test("are all in the documentation of verifyAttestation, in the same order", () => {
    const documentation = readFileSync(`${LIB}/attestation/verify.ts`, "utf8");
    const table = [...documentation.matchAll(/^ \* \| `(\w+)` \|/gm)].map(([, name]) => name);
    assert.deepEqual(table, checks.filter((name) => !OF_SIGNATURES.includes(name)));
    assert.equal(table.length, 27);
  });

  test("each have a test here that expects just that code", () => {
    const tests = readdirSync(HERE).filter((name) => name !== "checks.test.ts")
      .map((name) => readFileSync(`${HERE}/${name}`, "utf8")).join("\n");
    assert.deepEqual(checks.filter((name) => !tests.includes(`"${name}"`)), []);
  });
});
