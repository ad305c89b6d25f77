import type { PolicyImage } from "./make_policy.ts";

/** Rule of the gate. */
export type GateRule =
  | "pcr-value"
  | "unattested-access"
  | "loose-condition"
  | "any-principal"
  | "bypass"
  | "unattested-operation"
  | "lockout"
  | "size"
  | "running-image";

/** Reason for which the gate refuses a policy. */
export interface GateFinding {
  /** Rule that refuses it. */
  readonly rule: GateRule;
  /** One sentence for a person. */
  readonly sentence: string;
}

/** Options of {@link judgePolicy}. */
export interface GateOptions {
  /** ARN of the role that the enclave's instance has: `arn:aws:iam::111122223333:role/enclave`. */
  readonly role: string;
  /** Images that run now, which the policy must keep: PCR0, and PCR8 of a signed one. Default: none. */
  readonly running?: readonly PolicyImage[] | undefined;
  /** Actions such as `kms:Sign` that the role may do though nothing about them is attested. Default: none. */
  readonly allowUnattested?: readonly string[] | undefined;
  /**
   * ARN of the key, `arn:aws:kms:<region>:<account>:key/<id>`. With it, statements that name the key count like those of
   * `*`, and administrators of another account, who cannot put a key policy, do not count. Default: unknown.
   */
  readonly key?: string | undefined;
}

/** Options of the gate, checked: nothing in them is a mistake that would let a rule not bite. */
export interface CheckedGateOptions {
  readonly role: string;
  readonly running: readonly PolicyImage[];
  readonly allowUnattested: readonly string[];
  readonly key: string | undefined;
}
