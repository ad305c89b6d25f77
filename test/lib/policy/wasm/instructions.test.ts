import assert from "node:assert/strict";
import { describe, test } from "#test";
import { wasmPolicy } from "../../../support/policies.ts";
import { plugin } from "../../../support/wasm_module.ts";
import { facts } from "../cedar/requests.ts";

const [DROP, I32, I64, F32, F64] = [0x1a, 0x41, 0x42, 0x43, 0x44];
const ONE_F32 = [F32, 0, 0, 0x80, 0x3f];
const ONE_F64 = [F64, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f];

/** Code of every form that an instruction's immediates have, each leaving the stack as it was. */
const CODE: Readonly<Record<string, readonly number[]>> = {
  "f32.const, whose bytes are no instructions": [F32, 0xff, 0xfe, 0xfd, 0x7f, DROP],
  "f64.const, whose bytes are no instructions": [F64, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0x7f, DROP],
  "i64.const in several bytes": [I64, 0xff, 0xff, 0xff, 0x00, DROP],
  "a block": [0x02, 0x40, 0x0b],
  "if and else": [I32, 1, 0x04, 0x40, 0x05, 0x0b],
  "a loop": [0x03, 0x40, 0x0b],
  "br_table": [0x02, 0x40, I32, 0, 0x0e, 1, 0, 0, 0x0b],
  "select": [I32, 1, I32, 2, I32, 0, 0x1b, DROP],
  "select with a type": [I32, 1, I32, 2, I32, 0, 0x1c, 1, 0x7f, DROP],
  "select with a type, and a loop right behind": [
    ...[I32, 1, I32, 2, I32, 0, 0x1c, 1, 0x7f],
    ...[0x03, 0x40, 0x0b, DROP],
  ],
  "br_table with a padded label, and one that would be an instruction": [
    ...[0x02, 0x40, 0x02, 0x40, 0x02, 0x40, 0x02, 0x40],
    ...[I32, 0, 0x0e, 1, 0x80, 0x00, 3],
    ...[0x0b, 0x0b, 0x0b, 0x0b],
  ],
  "a load that is aligned, at an offset of several bytes": [I32, 0, 0x28, 2, 0x83, 0x04, DROP],
  "ref.func": [0xd2, 0, DROP],
  "ref.null and ref.is_null": [0xd0, 0x70, 0xd1, DROP],
  "i64 division": [I64, 6, I64, 3, 0x7f, DROP],
  "i64 remainder": [I64, 6, I64, 3, 0x82, DROP],
  "f32.ceil": [...ONE_F32, 0x8d, DROP],
  "f32.sqrt": [...ONE_F32, 0x91, DROP],
  "f32.div": [...ONE_F32, ...ONE_F32, 0x95, DROP],
  "f64.ceil": [...ONE_F64, 0x9b, DROP],
  "f64.sqrt": [...ONE_F64, 0x9f, DROP],
  "f64.div": [...ONE_F64, ...ONE_F64, 0xa3, DROP],
  "i32.trunc_f32_s": [...ONE_F32, 0xa8, DROP],
  "f64.convert_i64_u": [I64, 1, 0xba, DROP],
  "f64.promote_f32": [...ONE_F32, 0xbb, DROP],
  "i32.trunc_sat_f32_s": [...ONE_F32, 0xfc, 0, DROP],
  "i64.trunc_sat_f64_u": [...ONE_F64, 0xfc, 7, DROP],
};

describe("a plug-in may have", () => {
  for (const [name, code] of Object.entries(CODE)) {
    test(name, () => {
      const { allowed, fuelUsed } = wasmPolicy(plugin([...code, I32, 1])).decide(facts());
      assert.equal(allowed, true);
      assert.ok(Number(fuelUsed) > 0);
      assert.equal(wasmPolicy(plugin([...code, I32, 0])).decide(facts()).allowed, false);
    });
  }
});

describe("a plug-in may not have", () => {
  const wrong = {
    "memory.copy": [I32, 0, I32, 0, I32, 0, 0xfc, 10, 0, 0],
    "memory.fill": [I32, 0, I32, 0, I32, 0, 0xfc, 11, 0],
  };
  for (const [name, code] of Object.entries(wrong)) {
    test(name, () => {
      const module = plugin([...code, I32, 1]);
      const at = module.indexOf(0xfc);
      assert.throws(() => wasmPolicy(module), {
        name: "PolicyLoadError",
        message: `Cannot load the plug-in: it uses ${name}, whose work depends on a length, at byte ${at}`,
        hint:
          "Was it built without imports, for the interface that wasmPolicy() describes, and for WebAssembly's " +
          "first instructions (Rust: --target wasm32v1-none; clang: -mcpu=mvp)?",
      });
    });
  }

  test("options that are none", () => {
    const bytes = plugin([I32, 1]);
    assert.equal(wasmPolicy(bytes).name, "plug-in");
    const refuses = (options: object, message: RegExp) =>
      assert.throws(() => wasmPolicy(bytes, options), message);
    refuses({ more: 1 }, /^TypeError: The plug-in options have no field `more`/);
    refuses({ fuel: 0 }, /^RangeError: fuel must be an integer from 1 to 20000000$/);
    refuses({ memoryPages: 1025 }, /^RangeError: memoryPages must be an integer from 1 to 1024$/);
    assert.throws(
      () => wasmPolicy("x" as unknown as Uint8Array),
      /^TypeError: The plug-in must be a Uint8Array$/,
    );
  });
});
