/**
 * Fuzzes targets with a fault that is known to be there, for the tests of the fuzzer itself: `guided`,
 * `flaky` or `endless <path>`. Prints what it found.
 *
 * @module
 */
import process from "node:process";
import { fuzz } from "./fuzzer.ts";
import { shrink } from "./minimise.ts";
import { dictionary, type FuzzTarget } from "./target.ts";
import { Watchdog } from "./watchdog.ts";

const [fault = "", path = ""] = process.argv.slice(2);
let calls = 0;

/** To be found in four steps, each of them a new place; by chance it would take 2^32 inputs. */
function guided([first, second, third, fourth]: Uint8Array): string {
  if (first !== 0x46) return "ok";
  if (second !== 0x55) return "ok";
  if (third !== 0x5a) return "ok";
  if (fourth !== 0x21) return "ok";
  throw new RangeError("planted");
}

const FAULTS: Readonly<Record<string, (input: Uint8Array) => string>> = {
  guided,
  flaky: ([first]) => first === 0x46 ? `call ${calls++}` : "ok",
  endless([first]) {
    while (first === 0x46) calls++;
    return "ok";
  },
};

const target: FuzzTarget = {
  name: "planted",
  maxLength: 16,
  covers: ["test/fuzz/planted_child.ts"],
  dictionary: dictionary(),
  seeds: () => Promise.resolve([new Uint8Array(8)]),
  run: (input) => FAULTS[fault]?.(input) ?? "ok",
};

using watchdog = new Watchdog(target.maxLength, path, 500);
const onInput = (input: Uint8Array) => watchdog.watch(input);
const { findings, corpus } = await fuzz(target, { runs: 500_000, seed: 1, corpus: [], onInput });
const [finding] = findings;
const shortest = finding === undefined ? undefined : await shrink(target, finding.input);
console.log(JSON.stringify({
  error: String(finding?.error),
  corpus: corpus.length,
  shortest: shortest === undefined ? undefined : [...shortest],
}));
