import type { PolicyFacts } from "../facts.ts";
import type { PolicyDecision } from "../policy.ts";

/** Longer keys are not kept, so that a thousand of them stay within 4 MiB. */
const MAX_KEY_LENGTH = 2048;

/**
 * The decisions made last, by all that they depended on. Cedar knows no clock, no chance and no state: of the same
 * facts it makes the same decision.
 */
export class DecisionMemory {
  readonly #size: number;
  readonly #decisions = new Map<string, PolicyDecision>();

  /** @param size How many decisions are kept; those asked for longest ago are forgotten first */
  constructor(size: number) {
    this.#size = size;
  }

  /**
   * Remembers a decision, or makes it. What throws is no decision, and is tried again the next time.
   *
   * @param key From {@link decisionKey}; without one, the decision is made every time
   * @param decide Makes it
   * @returns It; one that was remembered took no fuel
   */
  recall(key: string | undefined, decide: () => PolicyDecision): PolicyDecision {
    if (key === undefined || key.length > MAX_KEY_LENGTH) return decide();
    const remembered = this.#decisions.get(key);
    const decision = remembered ?? decide();
    this.#decisions.delete(key);
    this.#decisions.set(key, remembered ?? Object.freeze({ ...decision, fuelUsed: 0 }));
    for (const oldest of this.#decisions.keys()) {
      if (this.#decisions.size <= this.#size) break;
      this.#decisions.delete(oldest);
    }
    return decision;
  }
}

/**
 * @param facts The facts
 * @param reads The attributes of the context that policies read; undefined when they may read any
 * @returns Everything that the decision depends on, as JSON; `undefined` when that is no less than all the facts.
 * The encryption context is among it though no policy read it: how long it is may decide whether the fuel lasts
 */
export function decisionKey(
  { principal, action, resource, context }: PolicyFacts,
  reads: readonly string[] | undefined,
): string | undefined {
  if (reads === undefined) return undefined;
  const circumstances = new Map<string, unknown>(Object.entries(context));
  const read = reads.map((name) => circumstances.get(name));
  return JSON.stringify([principal, action, resource, context.encryptionContext, read]);
}
