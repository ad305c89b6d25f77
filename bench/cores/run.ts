/**
 * Clients on one core and on two, and what bounds the one against the other: how much of a decrypt is the event
 * loop's, and what KMS takes of the second core. The KMS that replays takes as little as it can.
 *
 * @module
 */
import { availableParallelism } from "node:os";
import type { Child } from "../child.ts";
import type { Lab } from "../lab.ts";
import { pathKind } from "../paths/paths.ts";
import { pin } from "../pinning.ts";
import type { Runtime } from "../runtimes.ts";
import type { Slice, SliceOrder } from "../slice.ts";
import { shuffle } from "../statistics.ts";
import { type Costs, costsOf, PINNED_PATHS, type PinnedCell, type PinnedClient, used } from "./costs.ts";

interface Lengths {
  readonly rounds: number;
  readonly forMs: number;
  readonly firstWarmUpMs: number;
  readonly warmUpMs: number;
}

const FULL: Lengths = { rounds: 9, forMs: 1000, firstWarmUpMs: 3000, warmUpMs: 300 };
const QUICK: Lengths = { rounds: 2, forMs: 250, firstWarmUpMs: 300, warmUpMs: 50 };

/** Options of the measurement. */
export interface CoresOptions {
  /** Fewer and shorter rounds. */
  readonly isQuick: boolean;
  readonly runtimes: readonly Runtime[];
}

/** Costs of a cell in each round. */
export interface MeasuredCell {
  readonly cell: PinnedCell;
  readonly rounds: readonly Costs[];
}

/**
 * Measures every client in every round, in random order, one at a time.
 *
 * @param lab The running KMS; it is moved to the last core
 * @param options Runtimes and length
 * @param random Numbers from 0 to 1 for the order
 * @param progress Gets a line for each step
 */
export async function runCores(
  lab: Lab,
  { isQuick, runtimes }: CoresOptions,
  random: () => number,
  progress: (text: string) => void,
): Promise<MeasuredCell[]> {
  const lengths = isQuick ? QUICK : FULL;
  await pin(lab.kmsPid, [availableParallelism() - 1]);
  await using running = new Running();
  const subjects: { cell: PinnedCell; worker: Child; rounds: Costs[] }[] = [];
  progress("starting and warming up");
  for (const client of clientsOf(lab, runtimes)) {
    const worker = running.add(await start(lab, client));
    for (const atOnce of [16, 1] as const) {
      subjects.push({ cell: { ...client, atOnce }, worker, rounds: [] });
      await worker.ask<Slice>(orderOf(atOnce, lengths.firstWarmUpMs));
    }
  }
  for (let round = 0; round < lengths.rounds; round++) {
    progress(`round ${round + 1} of ${lengths.rounds}`);
    for (const { cell, worker, rounds } of shuffle(subjects, random)) {
      await worker.ask<Slice>(orderOf(cell.atOnce, lengths.warmUpMs));
      const before = used(worker.pid, lab.kmsPid);
      const slice = await worker.ask<Slice>(orderOf(cell.atOnce, lengths.forMs));
      rounds.push(costsOf(slice, before, used(worker.pid, lab.kmsPid)));
    }
  }
  return subjects.map(({ cell, rounds }) => ({ cell, rounds }));
}

function clientsOf({ parts }: Lab, runtimes: readonly Runtime[]): PinnedClient[] {
  const paths = PINNED_PATHS.filter((path) => pathKind(path).missing?.(parts) === undefined);
  return runtimes.flatMap((runtime) =>
    paths.flatMap((path) =>
      (path === "direct" ? [true, false] : [true]).flatMap((replays) =>
        ([1, 2] as const).map((cores) => ({ path, runtime, replays, cores }))
      )
    )
  );
}

function start(lab: Lab, { path, runtime, replays, cores }: PinnedClient): Promise<Child> {
  return lab.startAt(runtime, "worker.ts", [path], { replays, cores: cores === 1 ? [0] : [0, 1] });
}

function orderOf(atOnce: number, forMs: number): SliceOrder {
  return { roundTripMs: 0, atOnce, forMs, watchesLoop: atOnce > 1 };
}

/** Processes that end together. */
class Running implements AsyncDisposable {
  readonly #children: Child[] = [];

  add(child: Child): Child {
    this.#children.push(child);
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#children.map((child) => child[Symbol.asyncDispose]()));
  }
}
