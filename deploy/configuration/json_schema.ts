/** JSON Schema (2020-12), as far as `--print-config-schema` writes it. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** Thing that is wrong with a value. */
export interface SchemaProblem {
  /** Place, such as `tokens[0].issuer`; empty for the value itself. */
  readonly path: string;
  /** Expectation there, in words. Never the value. */
  readonly expected: string;
}

/** Deepest schema. */
const MAX_DEPTH = 32;

/** Keywords that say something to people, or to other readers. */
const NOTES = ["$schema", "title", "description", "default", "examples"];

type Check = (part: never, value: unknown, context: Context) => SchemaProblem[];

interface Context {
  readonly schema: JsonSchema;
  readonly path: string;
}

/** Keywords that have schemas inside, and those schemas. */
const INSIDE: Readonly<Record<string, (part: unknown) => readonly unknown[]>> = {
  items: (part) => [part],
  propertyNames: (part) => [part],
  additionalProperties: (part) => typeof part === "boolean" ? [] : [part],
  anyOf: (part) => Array.isArray(part) ? part : [part],
  properties: (part) => isObject(part) ? Object.values(part) : [part],
};

/** Checks of the keywords: the keyword's part, the value, and what is around. Each looks at its own type only. */
const KEYWORDS: Readonly<Record<string, Check>> = {
  type: (type: string, value, context) => unless(isType(type, value), context, TYPES[type] ?? type),
  enum: (words: readonly unknown[], value, context) =>
    unless(words.includes(value), context, words.map((word) => JSON.stringify(word)).join(" or ")),
  const: (word: unknown, value, context) => unless(word === value, context, JSON.stringify(word)),
  minimum: (least: number, value, context) =>
    unless(!isNumber(value) || value >= least, context, `at least ${least}`),
  maximum: (most: number, value, context) =>
    unless(!isNumber(value) || value <= most, context, `at most ${most}`),
  minLength: (least: number, value, context) =>
    unless(!isText(value) || [...value].length >= least, context, `at least ${least} characters`),
  maxLength: (most: number, value, context) =>
    unless(!isText(value) || [...value].length <= most, context, `at most ${most} characters`),
  pattern: (source: string, value, context) =>
    unless(!isText(value) || new RegExp(source, "u").test(value), context, `a text that matches ${source}`),
  minItems: (least: number, value, context) =>
    unless(!Array.isArray(value) || value.length >= least, context, `at least ${least} of them`),
  maxItems: (most: number, value, context) =>
    unless(!Array.isArray(value) || value.length <= most, context, `at most ${most} of them`),
  items: (schema: JsonSchema, value, { path }) =>
    Array.isArray(value) ? value.flatMap((item, index) => check(schema, item, `${path}[${index}]`)) : [],
  required: (names: readonly string[], value, { path }) =>
    isObject(value)
      ? names.filter((name) => !Object.hasOwn(value, name))
        .map((name) => ({ path: joinPath(path, name), expected: "to be there" }))
      : [],
  properties: (schemas: Readonly<Record<string, JsonSchema>>, value, { path }) =>
    isObject(value)
      ? Object.entries(schemas).flatMap(([name, schema]) =>
        Object.hasOwn(value, name) ? check(schema, value[name], joinPath(path, name)) : []
      )
      : [],
  additionalProperties: (rest: boolean | JsonSchema, value, { schema, path }) => {
    const others = otherMembers(schema, value);
    if (typeof rest !== "boolean") {
      return others.flatMap(([name, member]) => check(rest, member, joinPath(path, name)));
    }
    return rest ? [] : others.map(([name]) => ({ path: joinPath(path, name), expected: "not to be there" }));
  },
  propertyNames: (schema: JsonSchema, value, { path }) =>
    isObject(value)
      ? Object.keys(value).filter((name) => check(schema, name, "").length > 0)
        .map((name) => ({ path: joinPath(path, name), expected: "another name" }))
      : [],
  anyOf: (schemas: readonly JsonSchema[], value, context) => {
    const isOne = schemas.some((schema) => check(schema, value, "").length === 0);
    return unless(isOne, context, "another type or form");
  },
};

/** Forms that the parts of keywords must have. */
const FORMS: Readonly<Record<string, (part: unknown) => boolean>> = {
  type: (part) => isText(part) && Object.hasOwn(TYPES, part),
  enum: (part) => Array.isArray(part) && part.length > 0,
  const: () => true,
  ...Object.fromEntries(["minimum", "maximum"].map((keyword) => [keyword, isNumber])),
  ...Object.fromEntries(
    ["minLength", "maxLength", "minItems", "maxItems"].map((keyword) => [keyword, Number.isInteger]),
  ),
  pattern: isPattern,
  items: isObject,
  propertyNames: isObject,
  additionalProperties: (part) => typeof part === "boolean" || isObject(part),
  anyOf: (part) => Array.isArray(part) && part.length > 0,
  properties: isObject,
  required: (part) => Array.isArray(part) && part.every(isText),
};

const TYPES: Readonly<Record<string, string>> = {
  string: "a text",
  integer: "a whole number",
  number: "a number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
};

/**
 * Reads a schema: nothing in it is passed over that could refuse a value.
 *
 * @param value JSON of the schema
 * @returns The same
 * @throws {TypeError} When it has a keyword that is not known here, or one of a wrong form; the message names the place
 */
export function checkSchema(value: unknown): JsonSchema {
  checkPart(value, "", 0);
  return value as JsonSchema;
}

function checkPart(schema: unknown, path: string, depth: number): void {
  const place = path === "" ? "the schema" : path;
  if (!isObject(schema)) throw new TypeError(`${place} is no object`);
  if (depth > MAX_DEPTH) throw new TypeError(`${place} lies deeper than ${MAX_DEPTH}`);
  for (const [keyword, part] of Object.entries(schema)) {
    if (NOTES.includes(keyword) || keyword.startsWith("x-")) continue;
    if (!Object.hasOwn(KEYWORDS, keyword)) {
      throw new TypeError(`${place} has a keyword that is not known: ${keyword}`);
    }
    if (FORMS[keyword]?.(part) !== true) throw new TypeError(`${place} has a wrong ${keyword}`);
    for (const inside of INSIDE[keyword]?.(part) ?? []) {
      checkPart(inside, joinPath(path, keyword), depth + 1);
    }
  }
}

/**
 * Validates a value.
 *
 * @param schema Schema that {@link checkSchema} has passed
 * @param value Value from JSON
 * @returns Everything that is wrong; none when the value fits
 */
export function validate(schema: JsonSchema, value: unknown): SchemaProblem[] {
  return check(schema, value, "");
}

function check(schema: JsonSchema, value: unknown, path: string): SchemaProblem[] {
  const context = { schema, path };
  for (const [keyword, part] of Object.entries(schema)) {
    const problems = KEYWORDS[keyword]?.(part as never, value, context) ?? [];
    // What is of another type fails other keywords too, and so does what is no word of a list.
    if (problems.length > 0 && (keyword === "type" || keyword === "enum")) return problems;
  }
  return Object.entries(schema).flatMap(([keyword, part]) =>
    KEYWORDS[keyword]?.(part as never, value, context) ?? []
  );
}

function unless(fits: boolean, { path, schema }: Context, expected: string): SchemaProblem[] {
  const { description } = schema;
  if (fits) return [];
  return [{ path, expected: isText(description) ? `${expected} (${description})` : expected }];
}

function otherMembers(schema: JsonSchema, value: unknown): [string, unknown][] {
  const { properties = {} } = schema;
  return isObject(value)
    ? Object.entries(value).filter(([name]) => !Object.hasOwn(properties as object, name))
    : [];
}

/** Names that are no words may be anything, also a secret in the wrong place. */
function joinPath(path: string, name: string): string {
  const shown = /^[\w-]{1,64}$/.test(name) ? name : "(a name of other characters)";
  return path === "" ? shown : `${path}.${shown}`;
}

function isPattern(part: unknown): boolean {
  try {
    return isText(part) && new RegExp(part, "u") !== undefined;
  } catch {
    return false;
  }
}

function isType(type: string, value: unknown): boolean {
  if (type === "integer") return Number.isInteger(value);
  if (type === "array") return Array.isArray(value);
  if (type === "object") return isObject(value);
  const actual: string = typeof value;
  return actual === type;
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
