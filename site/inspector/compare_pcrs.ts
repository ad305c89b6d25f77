import { isStrict, pcrConditions, registerOf } from "../../deploy/keys/pcr_conditions.ts";
import { parsePolicy } from "../../deploy/keys/policy_document.ts";

/** Registers of one thing that was given. */
export interface PcrSource {
  /** Heading of its column. */
  readonly name: string;
  /** Values by register, hex: one that it has, or those that a policy's statement takes. */
  readonly pcrs: Readonly<Record<number, readonly string[]>>;
  /** Policy that the values are a choice of; several statements of one are one choice. */
  readonly policy?: string;
}

/** Register in all sources. */
export interface PcrRow {
  readonly register: number;
  /** In the order of the sources; empty where one does not have the register. */
  readonly cells: readonly string[];
  readonly verdict: "same" | "DIFFERENT" | "in one only" | "zero";
}

/** Registers that measure an image. */
const IMAGE_REGISTERS = [0, 1, 2];

/**
 * Lists the registers that the Allow statements of a policy compare by equality.
 *
 * @param name Heading of the policy
 * @param text JSON of the policy
 * @throws {KeyPolicyError} When it is malformed
 */
export function policySources(name: string, text: string): PcrSource[] {
  const statements = parsePolicy(text).statements.filter(({ effect }) => effect === "Allow");
  return statements.flatMap((statement) => {
    const pcrs: Record<number, readonly string[]> = {};
    for (const { operator, key, values } of pcrConditions(statement.conditions)) {
      const register = registerOf(key);
      if (register === undefined || !isStrict(operator)) continue;
      pcrs[register] = operator.endsWith("IgnoreCase") ? values.map((value) => value.toLowerCase()) : values;
    }
    const isEmpty = Object.keys(pcrs).length === 0;
    return isEmpty ? [] : [{ name: `${name}: ${statement.name}`, pcrs, policy: name }];
  });
}

/**
 * Compares registers. What has one value must have that of all others, and be among those of each choice. Registers above
 * PCR2 that are zero wherever they are, as those are that nobody extended, are left out.
 *
 * @param sources Things that were given
 * @returns A row for each register
 */
export function comparePcrs(sources: readonly PcrSource[]): PcrRow[] {
  const registers = new Set(sources.flatMap(({ pcrs }) => Object.keys(pcrs).map(Number)));
  return [...registers].sort((a, b) => a - b).flatMap((register) => {
    const given = sources.map(({ pcrs }) => pcrs[register] ?? []);
    if (!IMAGE_REGISTERS.includes(register) && given.flat().every(isZero)) return [];
    return [{
      register,
      cells: given.map((values) => values.join(" or ")),
      verdict: verdictOf(given, sources),
    }];
  });
}

/** Tells whether a value is zero, as those of debug mode and of registers that nobody extended. */
export function isZero(value: string): boolean {
  return /^0+$/.test(value);
}

function verdictOf(given: readonly (readonly string[])[], sources: readonly PcrSource[]): PcrRow["verdict"] {
  const single: string[] = [];
  const choices = new Map<string, string[]>();
  for (const [i, values] of given.entries()) {
    const policy = sources[i]?.policy;
    if (values.length === 0) continue;
    if (policy === undefined) single.push(...values);
    else choices.set(policy, [...choices.get(policy) ?? [], ...values]);
  }
  if (single.length + choices.size === 1) return single.some(isZero) ? "zero" : "in one only";
  const [first = []] = choices.values();
  const candidates = single.length > 0 ? [...new Set(single)] : first;
  if (single.length > 0 && candidates.length > 1) return "DIFFERENT";
  const isTaken = (value: string) => [...choices.values()].every((values) => values.includes(value));
  return candidates.some(isTaken) ? "same" : "DIFFERENT";
}
