import type { Command } from "./command.ts";
import { type Flag, JSON_FLAG } from "./flags.ts";

const ROLE_FLAG: Flag = { name: "role", value: "ARN", help: "Role of the enclave's instance" };

/** Commands that make key policies, and judge them before they are put on a key. */
export const KEY_POLICY_COMMANDS: readonly Command[] = [
  {
    name: "key-policy make",
    summary: "makes the policy of a key for images",
    example: "key-policy make --summary s.json --role … --administrator …",
    flags: [
      { name: "summary", value: "FILE", isFile: true, isMany: true, help: "Image; two during a rollout" },
      ROLE_FLAG,
      { name: "administrator", value: "ARN", isMany: true, help: "Who administers the key" },
      { name: "action", value: "NAME", isMany: true, help: "Default: kms:Decrypt" },
      { name: "any-role", help: "Leave out PCR3, which binds the role" },
      { name: "encrypt", help: "Let the role encrypt without an enclave" },
    ],
    load: async () => (await import("./commands/key_policy_make.ts")).keyPolicyMake,
  },
  {
    name: "key-policy diff",
    summary: "says who gains and who loses what",
    example: "key-policy diff --before old.json --after new.json",
    flags: [
      { name: "before", value: "FILE", isFile: true, help: "Policy that the key has" },
      { name: "after", value: "FILE", isFile: true, help: "Policy that it shall have" },
      JSON_FLAG,
    ],
    load: async () => (await import("./commands/key_policy_diff.ts")).keyPolicyDiff,
  },
  {
    name: "key-policy gate",
    summary: "judges a key policy",
    example: "key-policy gate policy.json --role … --running s.json",
    argument: { name: "FILE" },
    flags: [
      ROLE_FLAG,
      { name: "running", value: "FILE", isFile: true, isMany: true, help: "Summary of an image that runs" },
      { name: "key", value: "ARN", help: "The key, whose account its administrators have" },
      { name: "allow-unattested", value: "ACTION", isMany: true, help: "Such as kms:Sign" },
      JSON_FLAG,
    ],
    notes: ["", "Exit code 1, with a sentence for each reason, when the policy is refused."],
    load: async () => (await import("./commands/key_policy_gate.ts")).keyPolicyGate,
  },
  {
    name: "key-policy explain",
    summary: "says which condition failed",
    example: "key-policy explain policy.json --role … --document doc",
    argument: { name: "FILE" },
    flags: [
      ROLE_FLAG,
      { name: "document", value: "FILE", isFile: true, help: "Attestation document of the request" },
      { name: "action", value: "NAME", help: "Default: kms:Decrypt" },
      { name: "encryption-context", value: "JSON", help: 'Such as {"tenant":"a"}' },
      JSON_FLAG,
    ],
    load: async () => (await import("./commands/key_policy_explain.ts")).keyPolicyExplain,
  },
];
