import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Child } from "../child.ts";
import {
  ENVELOPE_WORKS,
  type EnvelopeOrder,
  type EnvelopeReading,
  type EnvelopeWork,
} from "../envelope/order.ts";
import type { Lab } from "../lab.ts";
import { processorTimeMs } from "../processor_time.ts";
import { commandOf, type Runtime } from "../runtimes.ts";
import type { Slice, SliceOrder } from "../slice.ts";
import { quantile } from "../statistics.ts";
import type { Side } from "./compare.ts";
import type { Speed, SpeedName, SpeedSide } from "./speeds.ts";

const AT_ONCE = 16;

/** One measure of one checkout. */
export interface SpeedSubject {
  readonly side: SpeedSide;
  readonly name: SpeedName;
  /** Works for a while. */
  measure(forMs: number): Promise<Speed>;
}

/** Processes that work as fast as they can: of both checkouts and of the floor. */
export class SpeedSubjects implements AsyncDisposable {
  readonly all: SpeedSubject[] = [];
  readonly #children: Child[] = [];

  /**
   * Starts all processes.
   *
   * @param lab The running KMS
   * @param runtime Runtime of the processes
   * @param folders Folders of both checkouts
   */
  static async start(
    lab: Lab,
    runtime: Runtime,
    folders: Readonly<Record<Side, string>>,
  ): Promise<SpeedSubjects> {
    const subjects = new SpeedSubjects();
    try {
      for (const side of ["this", "other"] as const) {
        await subjects.#addClient(lab, runtime, side, join(folders[side], "bench", "worker.ts"));
        await subjects.#addEnvelope(runtime, side, folders[side]);
      }
      if (runtime === "Node" || lab.parts.libcrypto !== undefined) {
        await subjects.#addEnvelope(runtime, "floor", undefined);
      }
      return subjects;
    } catch (error) {
      await subjects[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Ends all processes. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#children.map((child) => child[Symbol.asyncDispose]()));
  }

  async #addClient(lab: Lab, runtime: Runtime, side: Side, worker: string): Promise<void> {
    const child = await lab.startAt(runtime, worker, ["direct"], { replays: true });
    this.#children.push(child);
    this.all.push({ side, name: "decrypt", measure: (forMs) => measureDecrypts(child, forMs) });
  }

  /** Deno reads the import map of the checkout whose files it loads, not of this one. */
  async #addEnvelope(runtime: Runtime, side: SpeedSide, folder: string | undefined): Promise<void> {
    const flags = runtime === "Deno" && folder !== undefined ? ["--config", join(folder, "deno.json")] : [];
    const child = new Child(commandOf(runtime, SUBJECT, [folder ?? "evp"], flags));
    this.#children.push(child);
    await child.read<boolean>();
    for (const name of ENVELOPE_WORKS) {
      this.all.push({ side, name, measure: (forMs) => measureEnvelope(child, name, forMs) });
    }
  }
}

const SUBJECT = fileURLToPath(new URL("../envelope/subject.ts", import.meta.url));

/** Finds this checkout and the other one. */
export function foldersOf(other: string): Record<Side, string> {
  return { this: fileURLToPath(new URL("../..", import.meta.url)), other: resolve(other) };
}

async function measureDecrypts(worker: Child, forMs: number): Promise<Speed> {
  const order: SliceOrder = { roundTripMs: 0, atOnce: AT_ONCE, forMs, watchesLoop: true };
  const before = processorTimeMs(worker.pid, "/worker.ts");
  const { latenciesMs, perSecond, failures, loopDelaysMs } = await worker.ask<Slice>(order);
  const cpuMs = (processorTimeMs(worker.pid, "/worker.ts") - before) / latenciesMs.length;
  const [failure] = Object.keys(failures);
  if (failure !== undefined) throw new Error(`A decrypt fails: ${failure}`);
  return { perSecond, cpuMs, delayP99Ms: quantile(loopDelaysMs, 0.99) };
}

async function measureEnvelope(child: Child, work: EnvelopeWork, forMs: number): Promise<Speed> {
  const reading = await child.ask<EnvelopeReading>({ work, forMs } satisfies EnvelopeOrder);
  return { ...reading, delayP99Ms: NaN };
}
