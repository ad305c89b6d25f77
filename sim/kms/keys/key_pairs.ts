import { generateKeyPair, type KeyObject } from "node:crypto";
import process from "node:process";
import { promisify } from "node:util";
import { KmsRefusal } from "../kms_errors.ts";

/**
 * Both halves of a key pair.
 *
 * @internal
 */
export interface KeyPair {
  /** The public half. */
  readonly publicKey: KeyObject;
  /** The private half. */
  readonly privateKey: KeyObject;
}

/** Recipe for a key pair. */
export type PairRecipe =
  | { readonly type: "rsa"; readonly modulusLength: number }
  | { readonly type: "ec"; readonly namedCurve: string }
  | { readonly type: "ed25519" };

/** Recipes for RSA keys. */
export const RSA_RECIPES: Readonly<Record<"RSA_2048" | "RSA_3072" | "RSA_4096", PairRecipe>> = {
  RSA_2048: { type: "rsa", modulusLength: 2048 },
  RSA_3072: { type: "rsa", modulusLength: 3072 },
  RSA_4096: { type: "rsa", modulusLength: 4096 },
};

/** Recipes for keys on NIST's curves. */
export const NIST_RECIPES: Readonly<
  Record<"ECC_NIST_P256" | "ECC_NIST_P384" | "ECC_NIST_P521", PairRecipe>
> = {
  ECC_NIST_P256: { type: "ec", namedCurve: "prime256v1" },
  ECC_NIST_P384: { type: "ec", namedCurve: "secp384r1" },
  ECC_NIST_P521: { type: "ec", namedCurve: "secp521r1" },
};

/** The kinds of key pairs that the simulator makes. KMS has SM2 as well, in the regions of China. */
export type KeyPairSpec =
  | keyof typeof RSA_RECIPES
  | keyof typeof NIST_RECIPES
  | "ECC_SECG_P256K1"
  | "ECC_NIST_EDWARDS25519";

/** Recipes for all kinds of key pairs. */
export const KEY_PAIR_RECIPES: Readonly<Record<KeyPairSpec, PairRecipe>> = {
  ...RSA_RECIPES,
  ...NIST_RECIPES,
  ECC_SECG_P256K1: { type: "ec", namedCurve: "secp256k1" },
  ECC_NIST_EDWARDS25519: { type: "ed25519" },
};

/** The kinds of key pairs, as a list. */
export const KEY_PAIR_SPECS: readonly KeyPairSpec[] = Object.keys(KEY_PAIR_RECIPES) as KeyPairSpec[];

/**
 * Makes a key pair. RSA takes from 0.1 s to some seconds, by size and luck.
 *
 * @param spec Kind of key pair, for the message
 * @param recipe Its recipe
 * @param make Replaces node:crypto in tests
 * @throws {KmsRefusal} `UnsupportedOperationException`, naming the runtime, when its crypto library cannot:
 *   some builds leave curves out
 * @internal
 */
export async function makeKeyPair(
  spec: string,
  recipe: PairRecipe,
  make: (recipe: PairRecipe) => Promise<KeyPair> = generate,
): Promise<KeyPair> {
  try {
    return await make(recipe);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new KmsRefusal(
      "UnsupportedOperationException",
      `The simulator cannot make ${spec} on ${runtimeName()}: ${reason}`,
    );
  }
}

/**
 * Exports the public half as KMS sends it: SPKI DER.
 *
 * @internal
 */
export function publicKeyDer({ publicKey }: Pick<KeyPair, "publicKey">): Uint8Array<ArrayBuffer> {
  return new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
}

/**
 * Exports the private half as KMS sends it: PKCS #8 DER.
 *
 * @internal
 */
export function privateKeyDer({ privateKey }: Pick<KeyPair, "privateKey">): Uint8Array<ArrayBuffer> {
  return new Uint8Array(privateKey.export({ type: "pkcs8", format: "der" }));
}

function generate(recipe: PairRecipe): Promise<KeyPair> {
  const make = promisify(generateKeyPair);
  if (recipe.type === "rsa") return make("rsa", recipe);
  return recipe.type === "ec" ? make("ec", recipe) : make("ed25519");
}

function runtimeName(): string {
  const { deno, node } = process.versions as Readonly<Record<string, string | undefined>>;
  return deno === undefined ? `Node ${node}` : `Deno ${deno}`;
}
