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
  /** Only an application of one's own, beside bare @hono/node-server. */
  readonly isApp: boolean;
  /** Folder of another checkout to compare this one with, and nothing else. */
  readonly against: string | undefined;
  /** Bridges against socat, and nothing else. */
  readonly isBridge: boolean;
  /** Secrets that arrive at boot, beside a cold decrypt and age, and nothing else. */
  readonly isSecrets: boolean;
  /** The server with an exporter and without, and nothing else. */
  readonly isTelemetry: boolean;
  /** The image builder, beside SHA-384 over the same bytes, and nothing else. */
  readonly isImage: boolean;
  /** Clients on one core and on two, and nothing else. */
  readonly isCores: boolean;
  /** One decrypt with everything made anew, and nothing else. */
  readonly isOneShot: boolean;
  /** Folder for JSON and chart. */
  readonly out: string;
  readonly runtimes: readonly Runtime[];
  /** Seed of the order in which cells are measured. */
  readonly seed: number;
}

/** Text that `--help` prints. */
export const USAGE = `npm run bench -- [--quick | --gate] [--out FOLDER] [--runtime Node|Deno] [--seed NUMBER]
npm run bench -- attack [PART OF A NAME…] [--quick] [--runtime Node|Deno]
npm run bench -- app [--quick] [--runtime Node|Deno] [--seed NUMBER]
npm run bench -- against FOLDER [--quick] [--runtime Node|Deno] [--seed NUMBER]
npm run bench -- bridge [--quick] [--runtime Node|Deno] [--seed NUMBER]
npm run bench -- secrets [--quick] [--runtime Node|Deno]
npm run bench -- telemetry [--quick] [--runtime Node|Deno] [--seed NUMBER]
npm run bench -- image [--quick] [--runtime Node|Deno]
npm run bench -- cores [--quick] [--runtime Node|Deno] [--seed NUMBER]
npm run bench -- one-shot [--quick] [--runtime Node|Deno] [--seed NUMBER]

  --quick    within a minute: fewer rounds, no concurrency of 64, no round trip of 20 ms
  attack     a good caller by itself and beside each attack; fails when one slows it down too much
  app        a request of an application's own, beside bare @hono/node-server
  against    decrypts, streams and messages of this checkout and of another one, in turns
  bridge     bridges against socat, from TCP to a unix socket
  secrets    secrets that arrive at boot, beside a cold decrypt and age
  telemetry  a request with an exporter of traces, metrics and log, beside one without
  image      an image of 150 MB, built, beside SHA-384 over the same bytes; and its peak of memory
  cores      clients on one core and on two, with a KMS that replays; and what more cores would do
  one-shot   one decrypt with everything made anew, by the C tool, the command line and kmsDecrypt()
  --gate     only the checks for CI, which do not depend on the machine's speed
  --out      where results.json and chart.svg go; default: build/bench
  --runtime  one runtime only

KMSTOOL_ENCLAVE_CLI=PATH      a real kmstool_enclave_cli, unmodified, to compare with
ENCLAVE_KMS_SDK_LIBRARY=PATH  a real C SDK in place of its double
`;

const COMMANDS: readonly string[] = [
  ...["attack", "app", "against", "bridge", "secrets", "telemetry", "image", "cores", "one-shot"],
];

/** Commands without more words. */
const ALONE: readonly string[] = ["bridge", "secrets", "telemetry", "image", "cores", "one-shot"];

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
  if (command !== undefined && !COMMANDS.includes(command)) {
    throw new TypeError(`The commands are ${COMMANDS.join(", ")}; see --help`);
  }
  if (ALONE.includes(command ?? "") && parts.length > 0) {
    throw new TypeError(`${command} needs no more words; see --help`);
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
    isApp: command === "app",
    against: command === "against" ? parts[0] : undefined,
    isBridge: command === "bridge",
    isSecrets: command === "secrets",
    isTelemetry: command === "telemetry",
    isImage: command === "image",
    isCores: command === "cores",
    isOneShot: command === "one-shot",
    out,
    runtimes,
    seed,
  };
}
