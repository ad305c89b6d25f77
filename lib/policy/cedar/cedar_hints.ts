import { didYouMean } from "../../core/did_you_mean.ts";

/** Parts that a hint is made from. */
export interface HintParts {
  /** Message of Cedar. */
  readonly message: string;
  /** Text of the policy at fault, or of all policies. */
  readonly text: string;
  /** Schema that the policy was checked against. */
  readonly schema: string;
}

/**
 * Finds a hint for a problem.
 *
 * @param parts Message, text and schema
 * @returns The likeliest cause, and the text to write instead
 */
export function cedarHint(parts: HintParts): string {
  for (const [pattern, hint] of HINTS) {
    const match = pattern.exec(parts.message);
    if (match !== null) return hint(match[1] ?? "", parts);
  }
  return FITS_SCHEMA;
}

const FITS_SCHEMA = "Does it fit the schema, which `enclave-kms policy schema` and cedarSchema() show?";

const HINTS: readonly (readonly [RegExp, (name: string, parts: HintParts) => string])[] = [
  [/^failed to parse/, () => "Is the syntax right there? A policy ends with ; and its parts with )"],
  [/attribute `([^`]*)` on entity type `EncryptionContext` not found/, readTag],
  [/unable to guarantee safety of access to tag `"([^`]*)"`/, readTag],
  [
    /policy is impossible/,
    (_name, { text }) => /\bencryptionContext\s+has\b/.test(text) ? readTag() : IMPOSSIBLE,
  ],
  [
    /access to optional attribute `([^`]*)` on entity type `Caller`/,
    (name) => `Not every caller has it: ask \`principal has ${name} && …\` first`,
  ],
  [/attribute `([^`]*)` on entity type `Caller` not found/, declareAttribute],
  [/unrecognized action `Action::"([^"`]*)"`/, nameAction],
  [/unrecognized entity type/, () => 'There are Caller::"<CID>" and Key::"<key id>", and no other entities'],
];

const IMPOSSIBLE =
  "No request can fulfil it: is something misspelt, or asked of an action that does not have it?";

function readTag(name: string = "tenant"): string {
  const tag = /^\w{1,64}$/.test(name) ? name : "…";
  const context = "context.encryptionContext";
  return `The encryption context has tags, not attributes: ` +
    `${context}.hasTag("${tag}") && ${context}.getTag("${tag}") == …`;
}

function declareAttribute(name: string, { schema }: HintParts): string {
  const [, attributes = ""] = /entity Caller = \{([^}]*)\}/.exec(schema) ?? [];
  const known = [...attributes.matchAll(/"(\w+)"/g)].map(([, attribute = ""]) => attribute);
  const meant = didYouMean(name, known);
  if (meant !== undefined) return `Is ${meant} meant? Callers can have ${known.join(", ")}`;
  return `Callers can have ${known.join(", ")}; others are declared by \`attributes\` (on the command line ` +
    "--attribute)";
}

function nameAction(name: string, { schema }: HintParts): string {
  const [, actions = ""] = /action ([^{]*) appliesTo/.exec(schema) ?? [];
  const known = [...actions.matchAll(/"(\w+)"/g)].map(([, action = ""]) => action);
  const meant = didYouMean(name, known);
  if (meant !== undefined) return `Is Action::"${meant}" meant?`;
  return `The actions are ${
    known.join(", ")
  }; others are declared by \`actions\` (on the command line --action)`;
}
