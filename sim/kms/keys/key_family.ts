import type { PairRecipe } from "./key_pairs.ts";
import type { KmsOperation } from "./key_use.ts";

/** Recipe for a key's material: random bytes of a length, or a key pair. */
export type MaterialRecipe = SecretRecipe | PairRecipe;

/** Recipe for the material of a symmetric key. */
export interface SecretRecipe {
  /** Mark of these recipes. */
  readonly type: "secret";
  /** Length in bytes. */
  readonly length: number;
}

/**
 * Keys of one use, told in one place: the kinds of keys that have it, the operations that it permits, and the condition
 * keys by which policies constrain them.
 */
export interface KeyFamily<Spec extends string, Operation extends string> {
  /** Kinds of keys, each with the recipe for its material. */
  readonly specs: Readonly<Record<Spec, MaterialRecipe>>;
  /** Operations on these keys, by their names in KMS's API. */
  readonly operations: Readonly<Record<Operation, KmsOperation>>;
  /** Condition keys of the operations, without `kms:`. */
  readonly conditions: readonly string[];
}
