/**
 * The table of the uses that keys have, and the types and rules that follow from it. A new use is a file beside this one
 * and one line in the table.
 *
 * @module
 */
import { ENCRYPTION_KEYS } from "./encryption_keys.ts";
import { AGREEMENT_KEYS } from "./key_agreement.ts";
import type { KeyFamily, MaterialRecipe } from "./key_family.ts";
import { MAC_KEYS } from "./mac_keys.ts";
import { SIGNING_KEYS } from "./signing_keys.ts";

/** Keys by their use. The first use that a kind of key has is its default. */
export const KEY_FAMILIES = {
  ENCRYPT_DECRYPT: ENCRYPTION_KEYS,
  KEY_AGREEMENT: AGREEMENT_KEYS,
  SIGN_VERIFY: SIGNING_KEYS,
  GENERATE_VERIFY_MAC: MAC_KEYS,
} as const;

type Family = typeof KEY_FAMILIES[KeyUsage];

type SpecOf<One> = One extends KeyFamily<infer Spec, string> ? Spec : never;

type OperationOf<One> = One extends KeyFamily<string, infer Operation> ? Operation : never;

/** Use of a key. */
export type KeyUsage = keyof typeof KEY_FAMILIES;

/** Kind of a key's material. */
export type KeySpec = SpecOf<Family>;

/** The operations that a grant can permit, of those that the simulator has. */
export type GrantOperation = OperationOf<Family> | "GetPublicKey";

/** The same table, as code that goes through it sees it. */
const TABLE = Object.entries<KeyFamily<string, string>>(KEY_FAMILIES);

/** Condition keys of all uses, without `kms:`. */
export const CONDITION_NAMES: readonly string[] = [
  ...new Set(TABLE.flatMap(([, { conditions }]) => conditions)),
];

/**
 * Chooses the default use of a key: encryption, or what else this kind of key is for first. (KMS itself has no
 * default for an asymmetric key.)
 *
 * @param spec Kind of the key
 */
export function usualUsage(spec: KeySpec): KeyUsage {
  const [usage] = TABLE.find(([, { specs }]) => Object.hasOwn(specs, spec)) ?? [];
  return (usage ?? "ENCRYPT_DECRYPT") as KeyUsage;
}

/**
 * Finds the recipe for the material of a key.
 *
 * @param spec Kind of the key
 * @param usage Use of the key
 * @throws {TypeError} In KMS's words, when no such key can be made
 */
export function recipeOf(spec: KeySpec, usage: KeyUsage): MaterialRecipe {
  const family = TABLE.find(([name]) => name === usage)?.[1];
  const recipe = family !== undefined && Object.hasOwn(family.specs, spec) ? family.specs[spec] : undefined;
  if (recipe !== undefined) return recipe;
  throw new TypeError(`KeyUsage ${usage} is not compatible with KeySpec ${spec}`);
}
