import { parseStrictJson } from "../strict_json.ts";
import { malformedPolicy } from "./policy_error.ts";

/** Statement of a key policy, with every list as a list. */
export interface PolicyStatement {
  /** Name of the statement, or its place, such as `statement 2`: for people. */
  readonly name: string;
  readonly effect: "Allow" | "Deny";
  /** Principals by their types, such as `AWS`; `*` alone is `{ "*": ["*"] }`. */
  readonly principals: Readonly<Record<string, readonly string[]>>;
  /** Whether the principals are those that the statement is not about. */
  readonly isNotPrincipal: boolean;
  readonly actions: readonly string[];
  /** Whether the actions are those that the statement is not about. */
  readonly isNotAction: boolean;
  readonly resources: readonly string[];
  readonly isNotResource: boolean;
  /** Conditions, all of which must hold. */
  readonly conditions: readonly PolicyCondition[];
}

/** Condition of a statement: one of the values must match. */
export interface PolicyCondition {
  readonly operator: string;
  readonly key: string;
  readonly values: readonly string[];
}

/** Key policy. */
export interface PolicyDocument {
  readonly statements: readonly PolicyStatement[];
  /** Length of its text, in bytes of UTF-8. */
  readonly bytes: number;
}

/** Longest text that is read, in bytes: four times what KMS takes, so that the length can be judged. */
const MAX_TEXT_BYTES = 131_072;

/** Most texts of one list: principals, actions, or values. */
const MAX_TEXTS = 1000;

/** Longest text of a policy in a message or sentence, in UTF-16 units. */
const MAX_SHOWN = 128;

const FIELDS = ["Version", "Id", "Statement"];
const STATEMENT_FIELDS = [
  ...["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction"],
  ...["Resource", "NotResource", "Condition"],
];

/**
 * Reads a key policy. What KMS does not know is refused by its name: a misspelt field would be none.
 *
 * @param text JSON of the policy
 * @returns The policy
 * @throws {KeyPolicyError} When it is malformed, or a member is there twice
 */
export function parsePolicy(text: string): PolicyDocument {
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > MAX_TEXT_BYTES) throw malformedPolicy(`it has ${bytes} bytes`);
  const document = record("the policy", parseStrictJson(text, malformedPolicy), FIELDS);
  const version = document["Version"];
  if (version !== undefined && version !== "2012-10-17" && version !== "2008-10-17") {
    throw malformedPolicy("its Version is neither 2012-10-17 nor 2008-10-17");
  }
  const given = document["Statement"];
  const statements = Array.isArray(given) ? given : [given];
  if (given === undefined || statements.length === 0) throw malformedPolicy("it has no Statement");
  return { statements: statements.map(parseStatement), bytes };
}

function parseStatement(given: unknown, index: number): PolicyStatement {
  const place = `statement ${index}`;
  const fields = record(place, given, STATEMENT_FIELDS);
  const { Sid, Effect } = fields;
  if (Sid !== undefined && typeof Sid !== "string") throw malformedPolicy(`Sid of ${place} is no text`);
  if (Effect !== "Allow" && Effect !== "Deny") {
    throw malformedPolicy(`Effect of ${place} is neither Allow nor Deny`);
  }
  const [principal, isNotPrincipal] = either(place, fields, "Principal");
  const [action, isNotAction] = either(place, fields, "Action");
  const [resource, isNotResource] = either(place, fields, "Resource");
  return {
    name: typeof Sid === "string" && Sid !== "" ? shorten(Sid) : place,
    effect: Effect,
    principals: parsePrincipals(place, principal),
    isNotPrincipal,
    actions: parseActions(`Action of ${place}`, action),
    isNotAction,
    resources: texts(`Resource of ${place}`, resource),
    isNotResource,
    conditions: fields["Condition"] === undefined ? [] : parseConditions(place, fields["Condition"]),
  };
}

function either(place: string, fields: Readonly<Record<string, unknown>>, name: string): [unknown, boolean] {
  const [positive, negative] = [fields[name], fields[`Not${name}`]];
  if ((positive === undefined) === (negative === undefined)) {
    throw malformedPolicy(`${place} must have either ${name} or Not${name}`);
  }
  return [positive ?? negative, positive === undefined];
}

/** IAM folds case in ASCII: another letter that folds to one of it (KELVIN SIGN) would read as what it is not. */
function parseActions(what: string, given: unknown): readonly string[] {
  const actions = texts(what, given);
  const stranger = actions.find((action) => !/^(?:\*|[\w*?-]+:[\w*?-]+)$/.test(action));
  if (stranger === undefined) return actions;
  throw malformedPolicy(`${what} has ${JSON.stringify(shorten(stranger))}, which is no action`);
}

function parsePrincipals(place: string, given: unknown): Readonly<Record<string, readonly string[]>> {
  if (given === "*") return { "*": ["*"] };
  const types = record(`Principal of ${place}`, given, ["AWS", "Service", "Federated", "CanonicalUser"]);
  const entries = Object.entries(types);
  if (entries.length === 0) throw malformedPolicy(`Principal of ${place} names nobody`);
  return Object.fromEntries(
    entries.map(([type, value]) => [type, texts(`Principal.${type} of ${place}`, value)]),
  );
}

function parseConditions(place: string, given: unknown): PolicyCondition[] {
  const operators = record(`Condition of ${place}`, given);
  return Object.entries(operators).flatMap(([operator, keys]) =>
    Object.entries(record(`${shorten(operator)} of ${place}`, keys)).map(([key, value]) => ({
      operator,
      key,
      values: texts(`${shorten(key)} of ${place}`, Array.isArray(value) ? value.map(asText) : asText(value)),
    }))
  );
}

/** Booleans and numbers are texts to KMS. */
function asText(value: unknown): unknown {
  return typeof value === "boolean" || typeof value === "number" ? String(value) : value;
}

function texts(what: string, value: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length === 0) throw malformedPolicy(`${what} is empty`);
  if (list.length > MAX_TEXTS) throw malformedPolicy(`${what} has more than ${MAX_TEXTS} texts`);
  return list.map((text) => {
    if (typeof text !== "string" || text === "") {
      throw malformedPolicy(`${what} is no text, and no list of texts`);
    }
    return text;
  });
}

function record(what: string, value: unknown, known?: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw malformedPolicy(`${what} is no object`);
  }
  const stranger = Object.keys(value).find((name) => known !== undefined && !known.includes(name));
  if (stranger !== undefined) {
    throw malformedPolicy(`${what} has no field ${JSON.stringify(shorten(stranger))}`);
  }
  return value as Readonly<Record<string, unknown>>;
}

/**
 * Shortens a text of a policy for a sentence: it is somebody's.
 *
 * @param text The text
 * @returns At most 128 UTF-16 units
 */
export function shorten(text: string): string {
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN - 1)}…`;
}
