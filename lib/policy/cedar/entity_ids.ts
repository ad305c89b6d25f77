import { principalOf, type PrincipalType } from "../principal.ts";
import { asRecord } from "./cedar_answers.ts";
import { loadError } from "./policy_text.ts";

/** Entity that no request can have. */
interface ImpossibleEntity {
  /** Type of the entity. */
  readonly type: PrincipalType;
  /** Form that its id must have. */
  readonly hint: string;
}

const FORMS: Readonly<Record<PrincipalType, string>> = {
  Caller: 'Is it Caller::"<CID>", in digits without leading zeros?',
  Token: 'Is it Token::"<issuer>|<subject>", with neither of them empty?',
  Certificate: 'Is it Certificate::"<SHA-256 of the DER>", in 64 lowercase hex digits?',
  Parent: 'Is Parent::"parent" meant? There is one parent',
};

/**
 * Refuses policies for callers who cannot exist: a misspelt `forbid` would forbid nobody.
 *
 * @param policies Policies, each as Cedar's `policyToJson` writes it
 * @param names Names of the policies, in the same order
 * @throws {PolicyLoadError} When one has the id of a caller in a form that no caller's id has
 */
export function refuseImpossible(policies: readonly unknown[], names: readonly string[]): void {
  for (const [place, policy] of policies.entries()) {
    const impossible = findImpossible(policy);
    if (impossible === undefined) continue;
    throw loadError(`no ${impossible.type} has the id that ${names[place]} names`, {
      policyId: names[place],
      hint: impossible.hint,
    });
  }
}

function findImpossible(policy: unknown): ImpossibleEntity | undefined {
  const node = asRecord(policy);
  const { type, id } = node;
  // In a record of the policy's own, the values are expressions and no strings.
  if (typeof type === "string" && typeof id === "string") {
    if (!Object.hasOwn(FORMS, type) || principalOf(type, id) !== undefined) return undefined;
    return { type: type as PrincipalType, hint: FORMS[type as PrincipalType] };
  }
  for (const inner of Object.values(node)) {
    const found = findImpossible(inner);
    if (found !== undefined) return found;
  }
  return undefined;
}
