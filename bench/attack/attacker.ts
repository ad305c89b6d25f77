/**
 * The attacker, in a process of its own: `attacker.ts NAME TARGET`, the target as JSON. Attacks from the
 * first line that it reads, answers `true` when it is under way, and at the next line stops and says how
 * often it did its work. And so on, until its input ends.
 *
 * @module
 */
import { availableParallelism, setPriority } from "node:os";
import process from "node:process";
import { createInterface } from "node:readline";
import { type AttackName, ATTACKS, type Target } from "./attacks.ts";

/** On hardware the attacker has processors of its own. On a single one it only gets what the others leave. */
const LOWEST_PRIORITY = 19;

const [name = "", json = ""] = process.argv.slice(2);
const target = JSON.parse(json) as Target;
if (availableParallelism() === 1) setPriority(LOWEST_PRIORITY);
let stop: (() => Promise<number>) | undefined;
for await (const _ of createInterface({ input: process.stdin })) {
  if (stop === undefined) {
    stop = await start();
    console.log("true");
  } else {
    console.log(JSON.stringify(await stop()));
    stop = undefined;
  }
}
process.exit(0);

async function start(): Promise<() => Promise<number>> {
  const controller = new AbortController();
  const { promise: underWay, resolve: isUnderWay } = Promise.withResolvers<void>();
  let count = 0;
  const attack = { target, stop: controller.signal, count: () => void count++, isUnderWay };
  const attacking = ATTACKS[name as AttackName](attack);
  await underWay;
  return async () => {
    controller.abort(new Error("stopped"));
    await attacking;
    return count;
  };
}
