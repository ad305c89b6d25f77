import assert from "node:assert/strict";
import { describe, test } from "#test";
import { PolicyLoadError } from "../../../../lib/core/errors.ts";
import { serialisedFacts } from "../../../../lib/policy/mod.ts";
import { lookingFor, op, plugin, s32, text, vector, wasmModule } from "../../../support/wasm_module.ts";
import { facts } from "../cedar/requests.ts";
import { wasmPolicy } from "../../../support/policies.ts";

function loadFails(bytes: Uint8Array, message: RegExp): void {
  assert.throws(() => wasmPolicy(bytes), (error: unknown) => {
    assert.ok(error instanceof PolicyLoadError, String(error));
    assert.match(error.message, message);
    return true;
  });
}

describe("wasmPolicy()", () => {
  test("permits when the module answers 1, after reading the facts", () => {
    const policy = wasmPolicy(plugin(lookingFor("Decr")), { name: "decrypt-only" });
    const { allowed, reason, determining } = policy.decide(facts());
    assert.deepEqual({ allowed, reason, determining }, {
      allowed: true,
      reason: "Permitted by decrypt-only",
      determining: ["decrypt-only"],
    });
    assert.equal(policy.decide(facts({ action: "Encrypt" })).reason, "decrypt-only refused it");
  });

  test("takes the same fuel on every runtime", () => {
    const policy = wasmPolicy(plugin(lookingFor("Decr")));
    const used = [facts(), facts({ action: "Encrypt" })].map((request) => policy.decide(request).fuelUsed);
    assert.deepEqual(used, [163, 911]);
    // Three functions, and two for each byte up to the word: an iteration, and a look at memory.
    const word = new TextDecoder().decode(serialisedFacts(facts())).indexOf("Decr");
    assert.equal(used[0], 3 + 2 * (word + 1));
  });

  test("refuses whatever is not 1", () => {
    for (const answer of [0, 2, -1, 256, 257, 65_537, 0x7fff_ffff, -0x8000_0000]) {
      assert.equal(wasmPolicy(plugin([op.i32, ...s32(answer)])).decide(facts()).allowed, false);
    }
    assert.equal(wasmPolicy(plugin([op.i32, 1])).decide(facts()).allowed, true);
  });

  test("has nothing left of the decision before", () => {
    // Permits when the memory at 0 is still zero, and writes there.
    const once = plugin([
      ...[op.i32, 0, op.load, 0, 0, op.eqz],
      ...[op.i32, 0, op.i32, 1, op.store, 0, 0],
    ]);
    const policy = wasmPolicy(once);
    for (let round = 0; round < 3; round++) assert.equal(policy.decide(facts()).allowed, true);
  });

  test("judges the bytes it was given, whatever the caller does to them later", () => {
    const bytes = plugin([op.i32, 0]);
    const policy = wasmPolicy(bytes);
    bytes.set(plugin([op.i32, 1]));
    assert.equal(policy.decide(facts()).allowed, false);
  });

  test("takes no facts but the host's own", () => {
    const { allowed, reason } = wasmPolicy(plugin([op.i32, 1])).decide({ ...facts() });
    assert.equal(allowed, false);
    assert.match(reason, /not made by makeFacts/);
  });

  test("memory ends at the cap", () => {
    // Permits when the memory can be grown to the given number of pages.
    const growing = (pages: number) =>
      plugin([op.i32, ...s32(pages - 1), op.memoryGrow, 0, op.i32, ...s32(1), op.eq], { memory: [0, 1] });
    const allowed = (pages: number, memoryPages?: number) => {
      return wasmPolicy(growing(pages), { memoryPages }).decide(facts()).allowed;
    };
    assert.deepEqual([allowed(256), allowed(257)], [true, false]);
    assert.deepEqual([allowed(4, 4), allowed(5, 4)], [true, false]);
  });

  test("refuses wrong options", () => {
    const bytes = plugin([op.i32, 1]);
    for (const wrong of [{ fuel: 0 }, { fuel: 20_000_001 }, { memoryPages: 0 }, { memoryPages: 1025 }]) {
      assert.throws(() => wasmPolicy(bytes, wrong), RangeError);
    }
    assert.throws(() => wasmPolicy(bytes, { full: 1 } as object), TypeError);
    assert.throws(() => wasmPolicy("module" as unknown as Uint8Array), TypeError);
  });
});

describe("loading a plug-in", () => {
  test("refuses a module of another interface", () => {
    loadFails(wasmModule({}), /policy_abi/);
    const abi = (name: string, code: number[]) => [{ name, code }];
    loadFails(wasmModule({ functions: abi("policy_abi", [op.i32, 2]) }), /policy_abi\(\) is not 1/);
    loadFails(wasmModule({ functions: abi("policy_abi", [op.i32, 1]) }), /policy_alloc/);
    loadFails(plugin([op.i32, 1], { memory: [] }), /cannot decide a plain Decrypt/);
  });

  test("refuses a module that traps on plain requests", () => {
    loadFails(plugin([op.unreachable]), /cannot decide a plain Decrypt: unreachable/);
    loadFails(plugin([op.loop, op.void, op.br, 0, op.end, op.i32, 1]), /used up its fuel of 2000000 units/);
  });

  test("tells a trap from fuel that ran out, to the unit", () => {
    // Three functions, a unit each: the fuel is used up, and that is not why it trapped.
    const trap = plugin([op.unreachable]);
    assert.throws(() => wasmPolicy(trap, { fuel: 3 }), /cannot decide a plain Decrypt: unreachable/);
    assert.throws(() => wasmPolicy(trap, { fuel: 2 }), /it used up its fuel of 2 units/);
    assert.equal(wasmPolicy(plugin([op.i32, 1]), { fuel: 3 }).decide(facts()).fuelUsed, 3);
  });

  test("refuses a module with imports, and one that brings its own fuel", () => {
    const first = [...text("env"), ...text("first"), 0, 0];
    loadFails(plugin([op.i32, 1], { sections: { 2: vector([first]) } }), /it has imports/);
    const fuel = { sections: { 6: vector([[0x7f, 1, op.i32, 9, op.end]]) } };
    const exports = [[...text("enclave_kms_fuel"), 3, 0]];
    loadFails(plugin([op.i32, 1], { ...fuel, exports }), /Cannot load the plug-in: .*uplicate/);
  });

  test("refuses a module that is too long, or none", () => {
    const padding = (length: number) => ({ sections: { 0: [...text("x"), ...Array(length).fill(0)] } });
    const shorter = plugin([op.i32, 1], padding(1_000_000)).length - 1_000_000;
    const longest = plugin([op.i32, 1], padding(1_048_576 - shorter));
    assert.equal(longest.length, 1_048_576);
    assert.equal(wasmPolicy(longest).decide(facts()).allowed, true);
    loadFails(new Uint8Array(1_048_577), /it has 1048577 bytes, and may have 1048576/);
    loadFails(new Uint8Array(), /it ends too early at byte 0/);
    loadFails(plugin([op.i32, 1]).subarray(0, -1), /it ends too early at byte \d+/);
    // Read without a fault, and of wrong types: only the engine can tell.
    loadFails(plugin([op.add]), /it is not a valid WebAssembly module/);
  });
});
