import type { PolicyStatement } from "./policy_document.ts";

/** Actions that answer an enclave with a secret when a request carries an attestation document. */
export const ATTESTED_ACTIONS: readonly string[] = [
  "kms:Decrypt",
  "kms:DeriveSharedSecret",
  "kms:GenerateDataKey",
  "kms:GenerateDataKeyPair",
  "kms:GenerateRandom",
];

/** Actions that use a key and of which nothing is attested: whoever has the role may do them without an enclave. */
export const UNATTESTED_ACTIONS: readonly string[] = ["kms:Sign", "kms:GenerateMac"];

/** Actions that let a key be used past the conditions of its policy, by whoever has its role or account. */
export const BYPASSING_ACTIONS: readonly string[] = [
  "kms:CreateGrant",
  "kms:ReEncryptFrom",
  "kms:ReEncryptTo",
  // The replica has a policy of its own, and the material of a key may be one that its importer has kept.
  "kms:ReplicateKey",
  "kms:ImportKeyMaterial",
];

/** Actions by which somebody else who does not administer the key reads what it encrypted. */
export const READING_ACTIONS: readonly string[] = [
  "kms:CreateGrant",
  "kms:ReEncryptFrom",
  "kms:ReplicateKey",
];

/** Action by which whoever has it can let himself in. */
export const PUT_POLICY = "kms:PutKeyPolicy";

/**
 * Tells whether a statement is about an action, by its own list or by what it does not list.
 *
 * @param statement The statement
 * @param action Action, such as `kms:Decrypt`
 */
export function isAbout({ actions, isNotAction }: PolicyStatement, action: string): boolean {
  return actions.some((pattern) => covers(pattern, action)) !== isNotAction;
}

/** Compares with IAM's wildcards, in any case, without a regular expression: a pattern is anybody's. */
function covers(pattern: string, action: string): boolean {
  const [wanted, text] = [pattern.toLowerCase(), action.toLowerCase()];
  let [at, from, star, mark] = [0, 0, -1, 0];
  while (at < text.length) {
    if (wanted[from] === "*") [star, mark, from] = [from, at, from + 1];
    else if (wanted[from] === "?" || wanted[from] === text[at]) [at, from] = [at + 1, from + 1];
    else if (star >= 0) [mark, at, from] = [mark + 1, mark + 1, star + 1];
    else return false;
  }
  return /^\**$/.test(wanted.slice(from));
}
