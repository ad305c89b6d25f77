import { explainRefusal } from "../../deploy/keys/explain_refusal.ts";
import { judgePolicy } from "../../deploy/keys/gate.ts";
import type { GateFinding } from "../../deploy/keys/gate_finding.ts";
import { pcrConditions } from "../../deploy/keys/pcr_conditions.ts";
import { parsePolicy } from "../../deploy/keys/policy_document.ts";
import { isRoleArn } from "../../deploy/keys/principals.ts";
import type { Item } from "./read_item.ts";
import type { Section, SectionTable } from "./section.ts";
import { shellWord, visible } from "./visible.ts";

/** Thing that has registers, and could ask by the policy. */
export interface PolicyRequest {
  readonly name: string;
  readonly pcrs: Readonly<Record<number, string>>;
  readonly isDocument: boolean;
}

/**
 * Makes the section of a key policy: its statements, what the gate finds, and whether it lets each given thing decrypt.
 *
 * @param item The policy
 * @param role ARN of the enclave's role; the empty string to take the one that the policy names
 * @param requests Documents, images and PCR files that were given
 */
export function policySection(
  item: Item & { readonly kind: "policy" },
  role: string,
  requests: readonly PolicyRequest[],
): Section {
  const { name, text } = item;
  const named = role === "" ? roleOf(text) : role;
  if (named !== undefined && isRoleArn(named)) {
    return judgedSection(item, { role: named, isOfPolicy: role === "" }, requests);
  }
  return {
    title: titleOf(name),
    state: "note",
    sentences: [
      named === undefined
        ? "It is not judged: it names no one role by attestation. Give the ARN of the enclave's role."
        : "It is not judged: the role must be an ARN, such as arn:aws:iam::111122223333:role/enclave.",
    ],
    tables: [statementTable(text)],
    commands: [`enclave-kms key-policy gate ${shellWord(name, "policy.json")} --role ROLE`],
  };
}

function titleOf(name: string): string {
  return `Key policy: ${visible(name)}`;
}

function judgedSection(
  { name, text }: Item & { readonly kind: "policy" },
  { role, isOfPolicy }: { readonly role: string; readonly isOfPolicy: boolean },
  requests: readonly PolicyRequest[],
): Section {
  const findings = judgePolicy(text, { role });
  const answers = requests.map((request) => answerOf(text, role, request));
  const count = findings.length === 1 ? "1 finding" : `${findings.length} findings`;
  return {
    title: titleOf(name),
    state: findings.length === 0 ? "good" : "bad",
    sentences: [
      findings.length === 0 ? "The gate passes it." : `The gate refuses it: ${count}.`,
      `The enclave's role is ${visible(role)}${isOfPolicy ? ", as the policy names it" : ""}.`,
      ...answers.map(({ sentence }) => sentence),
    ],
    tables: [
      ...(findings.length === 0 ? [] : [findingTable(findings)]),
      statementTable(text),
      ...answers.map(({ table }) => table),
    ],
    commands: commandsOf(shellWord(name, "policy.json"), shellWord(role, "ROLE"), requests),
  };
}

function findingTable(findings: readonly GateFinding[]): SectionTable {
  return {
    caption: "What the gate finds",
    columns: ["Rule", "Reason"],
    rows: findings.map(({ rule, sentence }) => ({ cells: [rule, visible(sentence)], state: "bad" })),
  };
}

function commandsOf(policy: string, role: string, requests: readonly PolicyRequest[]): string[] {
  const documents = requests.filter(({ isDocument }) => isDocument);
  return [
    `enclave-kms key-policy gate ${policy} --role ${role}`,
    ...documents.map(({ name }) =>
      `enclave-kms key-policy explain ${policy} --role ${role} --document ${shellWord(name, "document")}`
    ),
  ];
}

/** Finds the one role that statements with conditions on attestation name. */
function roleOf(text: string): string | undefined {
  const roles = parsePolicy(text).statements
    .filter(({ effect, conditions }) => effect === "Allow" && pcrConditions(conditions).length > 0)
    .flatMap(({ principals }) => Object.values(principals).flat()).filter(isRoleArn);
  return new Set(roles).size === 1 ? roles[0] : undefined;
}

function statementTable(text: string): SectionTable {
  return {
    caption: "Statements",
    columns: ["Statement", "Effect", "Principals", "Actions", "Conditions"],
    rows: parsePolicy(text).statements.map((statement) => ({
      cells: [
        visible(statement.name),
        statement.effect,
        listOf(statement.isNotPrincipal, Object.values(statement.principals).flat()),
        listOf(statement.isNotAction, statement.actions),
        statement.conditions.map(({ operator, key, values }) =>
          visible(`${operator} ${key}: ${values.join(" or ")}`)
        ).join("; ") || "none",
      ],
    })),
  };
}

function listOf(isNot: boolean, values: readonly string[]): string {
  return visible(`${isNot ? "all but " : ""}${values.join(", ")}`);
}

function answerOf(
  text: string,
  role: string,
  { name, pcrs }: PolicyRequest,
): { readonly sentence: string; readonly table: SectionTable } {
  const verdicts = explainRefusal(text, { role, pcrs });
  const applies = (effect: string) => verdicts.some((one) => one.effect === effect && one.applies);
  const isAllowed = applies("Allow") && !applies("Deny");
  return {
    sentence: `It ${isAllowed ? "lets" : "does NOT let"} ${visible(name)} decrypt, by its PCRs.`,
    table: {
      caption: `kms:Decrypt with the PCRs of ${visible(name)}`,
      columns: ["Statement", "Effect", "Applies", "Reasons"],
      rows: verdicts.map((one) => ({
        cells: [
          visible(one.statement),
          one.effect,
          one.applies ? "yes" : "no",
          visible(one.reasons.join("; ")) || "-",
        ],
        state: one.applies ? (one.effect === "Allow" ? "good" as const : "bad" as const) : "note" as const,
      })),
    },
  };
}
