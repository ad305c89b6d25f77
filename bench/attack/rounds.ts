import type { Child } from "../child.ts";
import type { Sample } from "../setting.ts";
import type { AttackName, Target } from "./attacks.ts";
import { callFor, type Served } from "./good_caller.ts";
import type { AttackRound } from "./verdict.ts";

/** Number and length of the rounds. */
export interface AttackPlan {
  readonly rounds: number;
  /** One measurement, in milliseconds. */
  readonly forMs: number;
  /** Calls before each that do not count: what an attack left behind is to be over. */
  readonly warmUpMs: number;
}

/** Server, samples, plan and attacker of a measurement. */
export interface AttackParts {
  readonly target: Target;
  readonly samples: readonly Sample[];
  readonly plan: AttackPlan;
  /** @returns The attacker's process */
  readonly startAttacker: (attack: AttackName, target: Target) => Child;
}

/** More than an attack takes to be under way on a busy machine. */
const ATTACK_TIMEOUT_MS = 120_000;

/**
 * Measures the good caller by itself and beside the attack, in turns. The order changes with each round.
 *
 * @param attack Name of the attack
 * @param parts Server, samples, plan and attacker
 */
export async function attackRounds(attack: AttackName, parts: AttackParts): Promise<AttackRound[]> {
  const { plan, target, startAttacker } = parts;
  const rounds: AttackRound[] = [];
  await using attacker = startAttacker(attack, target);
  const measureAttacked = async () => {
    await attacker.ask<true>({}, ATTACK_TIMEOUT_MS);
    const attacked = await measure(parts);
    return { attacked, done: await attacker.ask<number>({}, ATTACK_TIMEOUT_MS) };
  };
  for (let round = 0; round < plan.rounds; round++) {
    const first = round % 2 === 0 ? await measure(parts) : undefined;
    const { attacked, done } = await measureAttacked();
    rounds.push({ alone: first ?? await measure(parts), attacked, done });
  }
  return rounds;
}

async function measure({ target, samples, plan }: AttackParts): Promise<Served> {
  await callFor(target.http, samples, plan.warmUpMs);
  return await callFor(target.http, samples, plan.forMs);
}
