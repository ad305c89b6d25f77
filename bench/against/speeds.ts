import { ENVELOPE_WORKS } from "../envelope/order.ts";
import { type Goal, makeGoal } from "../goals.ts";
import type { Runtime } from "../runtimes.ts";
import { median, medianRatio, quantile } from "../statistics.ts";
import type { Row } from "../table.ts";
import type { Cost, Round, Side } from "./compare.ts";

/** Measures of speed: a client with 16 decrypts in flight, and streams and messages under a data key at hand. */
export const SPEEDS = ["decrypt", ...ENVELOPE_WORKS] as const;

/** One of {@link SPEEDS}. */
export type SpeedName = typeof SPEEDS[number];

/** Checkouts, and bare calls of EVP. */
export type SpeedSide = Side | "floor";

/** Result of one measure in one round. */
export interface Speed {
  /** Decrypts, messages or MB a second. */
  readonly perSecond: number;
  /** Processor time of one of them, in milliseconds. */
  readonly cpuMs: number;
  /** p99 of the event loop's delays; NaN where it is not watched. */
  readonly delayP99Ms: number;
}

/** Speeds of one round. The floor has none of a decrypt. */
export type SpeedRound = Readonly<Record<SpeedName, Readonly<Partial<Record<SpeedSide, Speed>>>>>;

const NAMES: Readonly<Record<SpeedName, string>> = {
  decrypt: "direct, warm, 16 at once, replaying KMS",
  encryptStream: "encryptStream(), MB",
  decryptStream: "decryptStream(), MB",
  encryptInto: "encryptStream() into the reader's memory, MB",
  decryptInto: "decryptStream() into the reader's memory, MB",
  encryptMessage: "encrypt a message of 1 KiB",
  decryptMessage: "decrypt a message of 1 KiB",
};

type Quantity = (speed: Speed) => number;

const perSecond: Quantity = (speed) => speed.perSecond;
const delay: Quantity = ({ delayP99Ms }) => delayP99Ms;

/**
 * Makes the rows of one runtime: each speed of the other checkout, of this one and of the floor.
 *
 * @param runtime Runtime of all processes
 * @param rounds Rounds in any number
 */
export function speedRows(runtime: Runtime, rounds: readonly SpeedRound[]): Row[] {
  const section = `Speed against the other checkout, on ${runtime}`;
  return SPEEDS.flatMap((name) =>
    (["other", "this", "floor"] as const).flatMap((side): Row[] => {
      const speeds = rounds.flatMap((round) => round[name][side] ?? []);
      if (speeds.length === 0) return [];
      const row = {
        section,
        what: NAMES[name],
        runtime,
        under: side === "floor" ? "bare EVP" : side,
        unit: "",
      };
      const { ratio, note } = side === "this" ? compared(name, rounds) : { ratio: NaN, note: "" };
      const delayP99Ms = median(speeds.map(delay));
      return [{
        ...row,
        perSecond: median(speeds.map(perSecond)),
        cpuMs: median(speeds.map(({ cpuMs }) => cpuMs)),
        ratio,
        baseline: "other",
        note: [delayOf(delayP99Ms), note].filter((part) => part !== "").join("; "),
      }];
    })
  );
}

/**
 * Judges the goals of one runtime.
 *
 * @param runtime Runtime of all processes
 * @param rounds Costs of one decrypt after the other
 * @param speeds Speeds in the same rounds
 */
export function judgeAgainst(
  runtime: Runtime,
  rounds: readonly Round[],
  speeds: readonly SpeedRound[],
): Goal[] {
  const times = (name: SpeedName, quantity = perSecond) => ratioTo("other", name, speeds, quantity);
  const direct = (quantity: keyof Cost) =>
    medianRatio(
      rounds.map((round) => round.this.direct[quantity]),
      rounds.map((round) => round.other.direct[quantity]),
    );
  const share = (quantity: keyof Cost) =>
    median(rounds.map((round) => round.this.server[quantity] - round.this.direct[quantity]));
  const most = runtime === "Node" ? 1 : 0.5;
  const on = `on ${runtime}`;
  return [
    makeGoal(`direct ${on}, one at a time, p50 against the other`, direct("p50Ms"), "at most", most, " x"),
    makeGoal(`direct ${on}, one at a time, CPU against the other`, direct("cpuMs"), "at most", most, " x"),
    makeGoal(
      `event loop ${on} with 16 in flight, p99 against the other`,
      times("decrypt", delay),
      "at most",
      0.5,
      " x",
    ),
    makeGoal(`the server's share ${on}, p50`, share("p50Ms"), "at most", 0.5, " ms"),
    makeGoal(`the server's share ${on}, CPU`, share("cpuMs"), "at most", 0.3, " ms"),
    ...(["encryptStream", "decryptStream", "encryptInto", "decryptInto"] as const).flatMap((name) => [
      makeGoal(`${NAMES[name]}, ${on} against the other`, times(name), "at least", 8, " x"),
      makeGoal(
        `${NAMES[name]}, ${on} against bare EVP`,
        ratioTo("floor", name, speeds, perSecond),
        "at least",
        0.5,
        " x",
      ),
    ]),
    ...(["encryptMessage", "decryptMessage"] as const).flatMap((name) => [
      makeGoal(`${name}() ${on} against the other`, times(name), "at least", 5, " x"),
      makeGoal(
        `${name}() ${on}, time against bare EVP`,
        1 / ratioTo("floor", name, speeds, perSecond),
        "at most",
        1.5,
        " x",
      ),
    ]),
  ];
}

function delayOf(delayP99Ms: number): string {
  return Number.isNaN(delayP99Ms) ? "" : `the loop is late by ${delayP99Ms.toFixed(1)} ms, p99`;
}

/** Compares round by round, with the quartiles of the ratios beside them. */
function compared(name: SpeedName, rounds: readonly SpeedRound[]): { ratio: number; note: string } {
  const ratios = rounds.map((round) =>
    (round[name].this?.perSecond ?? NaN) / (round[name].other?.perSecond ?? NaN)
  );
  const toFloor = ratioTo("floor", name, rounds, perSecond);
  const floor = Number.isNaN(toFloor) ? "" : `; ${toFloor.toFixed(2)} of bare EVP`;
  const [low, high] = [quantile(ratios, 0.25), quantile(ratios, 0.75)];
  return { ratio: median(ratios), note: `${low.toFixed(2)} to ${high.toFixed(2)}${floor}` };
}

function ratioTo(
  side: SpeedSide,
  name: SpeedName,
  rounds: readonly SpeedRound[],
  quantity: Quantity,
): number {
  const of = (round: SpeedRound, which: SpeedSide) => {
    const speed = round[name][which];
    return speed === undefined ? NaN : quantity(speed);
  };
  return medianRatio(rounds.map((round) => of(round, "this")), rounds.map((round) => of(round, side)));
}
