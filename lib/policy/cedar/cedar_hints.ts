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
    /access to optional attribute `([^`]*)` on entity type `(?:Caller|Token|Certificate)`/,
    notEvery,
  ],
  [/attribute `([^`]*)` on entity type `(?:Caller|Token|Certificate|Parent)` not found/, declareAttribute],
  [/unrecognized action `Action::"([^"`]*)"`/, nameAction],
  [/unrecognized entity type/, () => ENTITIES],
];

const ENTITIES = 'There are Caller::"<CID>", Token::"<issuer>|<subject>", Certificate::"<SHA-256>", ' +
  'Parent::"parent" and Key::"<key id>", and no other entities';

const IMPOSSIBLE =
  "No request can fulfil it: is something misspelt, or asked of an action that does not have it?";

function readTag(name: string = "tenant"): string {
  const tag = /^\w{1,64}$/.test(name) ? name : "…";
  const context = "context.encryptionContext";
  return `The encryption context has tags, not attributes: ` +
    `${context}.hasTag("${tag}") && ${context}.getTag("${tag}") == …`;
}

function notEvery(name: string): string {
  return `Not every caller has it: ask \`principal has ${name} && …\` first`;
}

function declareAttribute(name: string, { schema }: HintParts): string {
  const types = ["Caller", "Token", "Certificate"];
  const all = [...new Set(types.flatMap((type) => namesOf(type, schema)))];
  if (all.includes(name)) return notEvery(name);
  const meant = didYouMean(name, all);
  if (meant !== undefined) return `Is ${meant} meant? Callers can have ${all.join(", ")}`;
  return `Callers can have ${all.join(", ")}; others are declared by \`attributes\` and \`claims\` (on the ` +
    "command line --attribute and --claim)";
}

function namesOf(type: string, schema: string): string[] {
  const [, attributes = ""] = new RegExp(`entity ${type} = \\{([^}]*)\\}`).exec(schema) ?? [];
  return [...attributes.matchAll(/"(\w+)"/g)].map(([, attribute = ""]) => attribute);
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
