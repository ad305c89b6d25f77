import { parseArgs } from "node:util";
import { type Runtime, RUNTIMES } from "./runtimes.ts";

/** Options of the command line. */
export interface Options {
  /** Within a minute, and less sure. */
  readonly isQuick: boolean;
  /** Only the checks that do not depend on the machine's speed. */
  readonly isGate: boolean;
  /**
   * Attacks beside a good caller and nothing else: those with one of these in their names, or all of none.
   */
  readonly attacks: readonly string[] | undefined;
  /** Folder of another checkout to compare this one with, and nothing else. */
  readonly against: string | undefined;
  /** Folder for JSON and chart. */
  readonly out: string;
  readonly runtimes: readonly Runtime[];
  /** Seed of the order in which cells are measured. */
  readonly seed: number;
}

/** Text that `--help` prints. */
export const USAGE = `npm run bench -- [--quick | --gate] [--out FOLDER] [--runtime Node|Deno] [--seed NUMBER]
npm run bench -- attack [PART OF A NAME…] [--quick] [--runtime Node|Deno]
npm run bench -- against FOLDER [--quick] [--runtime Node|Deno] [--seed NUMBER]

  --quick    within a minute: fewer rounds, no concurrency of 64, no round trip of 20 ms
  attack     a good caller by itself and beside each attack; fails when one slows it down too much
  against    the server's share of a decrypt in this checkout and in another one, in turns
  --gate     only the checks for CI, which do not depend on the machine's speed
  --out      where results.json and chart.svg go; default: build/bench
  --runtime  one runtime only

KMSTOOL_ENCLAVE_CLI=PATH      a real kmstool_enclave_cli, unmodified, to compare with
ENCLAVE_KMS_SDK_LIBRARY=PATH  a real C SDK in place of its double
`;

/**
 * Reads the command line.
 *
 * @param args Words of the command line
 * @throws {TypeError} When they are not as {@link USAGE} says
 */
export function readOptions(args: readonly string[]): Options | "help" {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      quick: { type: "boolean", default: false },
      gate: { type: "boolean", default: false },
      out: { type: "string", default: "build/bench" },
      runtime: { type: "string" },
      seed: { type: "string", default: "1" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  const [command, ...parts] = positionals;
  if (command !== undefined && command !== "attack" && command !== "against") {
    throw new TypeError("The commands are attack and against; see --help");
  }
  if (command === "against" && parts.length !== 1) {
    throw new TypeError("against needs one FOLDER; see --help");
  }
  const { quick, gate, out, runtime } = values;
  const seed = Number(values.seed);
  if (!Number.isSafeInteger(seed)) throw new TypeError("--seed must be a whole number");
  const runtimes = RUNTIMES.filter((name) => runtime === undefined || name === runtime);
  if (runtimes.length === 0) throw new TypeError("--runtime must be Node or Deno");
  return {
    isQuick: quick,
    isGate: gate,
    attacks: command === "attack" ? parts : undefined,
    against: command === "against" ? parts[0] : undefined,
    out,
    runtimes,
    seed,
  };
}
