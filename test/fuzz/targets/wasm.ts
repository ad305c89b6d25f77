import { Buffer } from "node:buffer";
import { FUEL_EXPORT, meter } from "../../../lib/policy/wasm/meter.ts";
import { WasmFormatError } from "../../../lib/policy/wasm/wasm_reader.ts";
import { PLUGIN_RULES } from "../../../lib/policy/plugin/wasm_policy.ts";
import { wasmEngine } from "../../../lib/policy/wasm/wasm_engine.ts";
import { BAD_AT_LOAD, BAD_AT_RUN_TIME } from "../../lib/policy/wasm/hostile_modules.ts";
import { dictionary, expect, type FuzzTarget } from "../target.ts";

/** Imports allowed, so that the reader of these is run, too. */
const RULES = { ...PLUGIN_RULES, maxMemoryPages: 16, instructionsPerUnit: 64, allowImports: true };

/** A plug-in's module: metered or refused; and if it was valid, so is what the meter makes of it. */
export const wasm: FuzzTarget = {
  name: "wasm",
  maxLength: 20_000,
  covers: ["reader", "sections", "code", "proposals"].map((part) => `lib/policy/wasm_${part}.ts`)
    .concat("lib/policy/wasm/meter.ts"),
  dictionary: dictionary(
    "0x0061736d01000000",
    "0xffffffff0f",
    "0x8080808000",
    "0x0b",
    "0x0340",
    "0x0240",
    "0x0440",
    "0x05",
    "0x0c00",
    "0x0e000000",
    "0x1100",
    "0x2000",
    "0x4100",
    "0x427f",
    "0x43000000",
    "0x4400000000",
    "0xfc08",
    "0xfc0b00",
    "0xfd00",
    "0xd070",
    "0x23002400",
    "0x0a",
    "0x05030100",
    "0x7f7e7d7c",
  ),
  seeds() {
    const modules = [...Object.values(BAD_AT_LOAD), ...Object.values(BAD_AT_RUN_TIME)].map(([bytes]) =>
      bytes
    );
    return Promise.resolve(modules.filter(({ length }) => length < 2000));
  },
  run(input) {
    const isValid = wasmEngine.validate(input);
    let metered: Uint8Array<ArrayBuffer>;
    try {
      metered = meter(input, RULES);
    } catch (error) {
      if (!(error instanceof WasmFormatError)) throw error;
      expect(error.message.length < 120, "the error says too much");
      return `${error.message.replaceAll(/\d+/g, "n")}${isValid ? ", though valid" : ""}`;
    }
    expect(metered.length < 40 * input.length + 1000, "it became much larger");
    if (!isValid) return "ok, though invalid";
    if (wasmEngine.validate(metered)) return "ok";
    // Then the engine refuses the metered module: that is how wasmPolicy() keeps the name for itself.
    expect(Buffer.from(input).includes(FUEL_EXPORT), "valid before, and invalid once metered");
    return "it exports our name";
  },
};
