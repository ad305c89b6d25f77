import type { PolicyFacts } from "../facts.ts";
import type { PolicyDecision } from "../policy.ts";

/** Longest key that is kept, so that a thousand of them stay within 4 MiB. */
const MAX_KEY_LENGTH = 2048;

/**
 * Memory of the latest decisions, by all facts that they depended on. Cedar has no clock, randomness or state: it
 * decides the same facts the same way.
 */
export class DecisionMemory {
  readonly #size: number;
  readonly #decisions = new Map<string, PolicyDecision>();

  /**
   * Starts empty.
   *
   * @param size Number of decisions that are kept; those asked for longest ago are forgotten first
   */
  constructor(size: number) {
    this.#size = size;
  }

  /**
   * Recalls a decision, or makes it. A throw is not remembered.
   *
   * @param key Key of {@link decisionKey}; without one, the decision is made every time
   * @param decide Makes the decision
   * @returns The decision; a remembered one took no fuel
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
 * Writes the facts that a decision depends on as a key.
 *
 * @param facts The facts
 * @param reads Attributes of the context that policies read; undefined when they may read any
 * @returns The key, as JSON; `undefined` when the decision may depend on all facts. The key always has the encryption
 *   context: its length may decide whether the fuel suffices
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
