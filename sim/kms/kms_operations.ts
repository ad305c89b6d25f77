import { generateRandom } from "./keys/data_keys.ts";
import { KEY_FAMILIES } from "./keys/key_families.ts";
import type { KmsOperation } from "./keys/key_use.ts";
import { getPublicKey } from "./keys/public_keys.ts";

/** The operations by name: those without a key, or of keys of several uses, and those of each use of a key. */
export const OPERATIONS: Readonly<Record<string, KmsOperation>> = Object.assign(
  { GenerateRandom: generateRandom, GetPublicKey: getPublicKey },
  ...Object.values(KEY_FAMILIES).map(({ operations }) => operations),
);
