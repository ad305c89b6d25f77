import { type Child, ChildDied } from "./child.ts";
import type { Lab } from "./lab.ts";
import { pathKind, type PathName } from "./paths/paths.ts";
import type { Cell, RoundPlan } from "./plan.ts";
import type { Runtime } from "./runtimes.ts";
import type { Slice, SliceOrder } from "./slice.ts";
import { shuffle } from "./statistics.ts";

/** A cell and what each round found. */
export interface Measured {
  readonly cell: Cell;
  readonly slices: readonly Slice[];
}

const NOTHING: Slice = { latenciesMs: [], perSecond: 0, cpuMs: 0, failures: {}, loopDelaysMs: [] };

/**
 * Measures every cell once in every round, in random order, one at a time: whatever else the machine does, it
 * does to all of them.
 *
 * @param lab The running KMS
 * @param plan Cells and length of the rounds
 * @param random Numbers from 0 to 1 for the order
 * @param progress Gets a line for each step
 */
export async function runRounds(
  lab: Lab,
  plan: RoundPlan,
  random: () => number,
  progress: (text: string) => void,
): Promise<{ measured: Measured[]; rounds: number }> {
  await using workers = new Workers(lab);
  const cells = plan.cells.filter(({ path }) => pathKind(path).missing?.(lab.parts) === undefined);
  const found = new Map(cells.map((cell) => [cell, [] as Slice[]]));
  progress("warming up");
  for (const cell of cells.filter(isFirstOfItsKind)) {
    await workers.measure(cell, pathKind(cell.path).isSlow ? 0 : plan.firstWarmUpMs, 0);
  }
  let rounds = 0;
  while (rounds < plan.rounds && (rounds === 0 || performance.now() < plan.latestRoundMs)) {
    progress(`round ${++rounds} of ${plan.rounds}`);
    for (const cell of shuffle(cells, random)) {
      const forMs = pathKind(cell.path).isSlow ? plan.slowForMs : plan.forMs;
      const startedAt = performance.now();
      found.get(cell)?.push(await workers.measure(cell, forMs, plan.warmUpMs));
      const seconds = (performance.now() - startedAt) / 1000;
      if (seconds > SLOW_SECONDS) progress(`${describe(cell)} took ${seconds.toFixed(0)} s`);
    }
  }
  return { rounds, measured: [...found].map(([cell, slices]) => ({ cell, slices })) };
}

/** Time after which a cell is reported, in seconds: a silent benchmark looks as if it hung. */
const SLOW_SECONDS = 5;

function describe({ path, runtime, roundTripMs, atOnce }: Cell): string {
  return `${path} on ${runtime}, ${roundTripMs} ms, ${atOnce} at once`;
}

/** Chooses the cell that warms up a process: once for each network, with 16 at once if that is measured. */
function isFirstOfItsKind(cell: Cell, _index: number, cells: readonly Cell[]): boolean {
  const isAlike = (other: Cell) =>
    other.path === cell.path && other.runtime === cell.runtime && other.roundTripMs === cell.roundTripMs;
  const alike = cells.filter((other) => isAlike(other) && other.atOnce > 0);
  return cell ===
    (pathKind(cell.path).isSlow ? alike[0] : alike.find(({ atOnce }) => atOnce === 16) ?? alike[0]);
}

/** One process for each path on each runtime, started when first needed and again when it died. */
class Workers implements AsyncDisposable {
  readonly #lab: Lab;
  readonly #running = new Map<string, Child>();

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  async measure(
    { path, runtime, roundTripMs, atOnce, watchesLoop }: Cell,
    forMs: number,
    warmUpMs: number,
  ): Promise<Slice> {
    const order: SliceOrder = {
      roundTripMs,
      atOnce,
      forMs,
      warmUpMs: pathKind(path).isSlow ? undefined : warmUpMs,
      watchesLoop,
    };
    const worker = await this.#worker(path, runtime);
    try {
      const slice = await worker.ask<Slice>(order);
      // A client that the C SDK has stalled refuses everything from then on.
      if (!isEmpty(slice.failures) && !pathKind(path).spawns) await this.#end(path, runtime);
      return slice;
    } catch (error) {
      if (!(error instanceof ChildDied)) throw new Error(`${path} on ${runtime}: ${error}`);
      await this.#end(path, runtime);
      return { ...NOTHING, failures: { "its process died": 1 } };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.values()].map((worker) => worker[Symbol.asyncDispose]()));
  }

  async #end(path: PathName, runtime: Runtime): Promise<void> {
    const name = `${path} ${runtime}`;
    await this.#running.get(name)?.[Symbol.asyncDispose]();
    this.#running.delete(name);
  }

  async #worker(path: PathName, runtime: Runtime): Promise<Child> {
    const name = `${path} ${runtime}`;
    const worker = this.#running.get(name) ?? await this.#lab.start(runtime, "worker.ts", [path]);
    this.#running.set(name, worker);
    return worker;
  }
}

function isEmpty(object: Readonly<Record<string, unknown>>): boolean {
  return Object.keys(object).length === 0;
}
