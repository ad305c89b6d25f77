type Schema = Readonly<Record<string, unknown>>;

/** Keywords that say something to people only. */
const NOTES = [
  ...["description", "format", "writeOnly", "contentEncoding", "default", "$schema"],
  ...["x-env", "x-env-others", "x-env-prefix"],
];

/** Checks of JSON Schema's keywords, as far as this repository uses them: the schema's part, the value, the schema. */
const KEYWORDS: Readonly<Record<string, (part: never, value: unknown, schema: Schema) => boolean>> = {
  type: (type: string, value) => isType(type, value),
  const: (expected: unknown, value) => expected === value,
  enum: (allowed: readonly unknown[], value) => allowed.includes(value),
  minLength: (least: number, value) => typeof value !== "string" || value.length >= least,
  maxLength: (most: number, value) => typeof value !== "string" || value.length <= most,
  pattern: (source: string, value) => typeof value !== "string" || new RegExp(source, "u").test(value),
  minimum: (least: number, value) => typeof value !== "number" || value >= least,
  maximum: (most: number, value) => typeof value !== "number" || value <= most,
  exclusiveMinimum: (least: number, value) => typeof value !== "number" || value > least,
  items: (schema: Schema, value) => !Array.isArray(value) || value.every((item) => accepts(schema, item)),
  minItems: (least: number, value) => !Array.isArray(value) || value.length >= least,
  maxItems: (most: number, value) => !Array.isArray(value) || value.length <= most,
  propertyNames: (schema: Schema, value) =>
    !isObject(value) || Object.keys(value).every((name) => accepts(schema, name)),
  required: (names: readonly string[], value) =>
    !isObject(value) || names.every((name) => Object.hasOwn(value, name)),
  properties: (schemas: Readonly<Record<string, Schema>>, value) =>
    !isObject(value) ||
    Object.entries(value).every(([name, member]) =>
      !Object.hasOwn(schemas, name) || accepts(schemas[name] ?? {}, member)
    ),
  additionalProperties: (rest: boolean | Schema, value, { properties = {} }) =>
    !isObject(value) ||
    Object.entries(value).every(([name, member]) =>
      Object.hasOwn(properties as object, name) || (typeof rest === "boolean" ? rest : accepts(rest, member))
    ),
  anyOf: (schemas: readonly Schema[], value) => schemas.some((schema) => accepts(schema, value)),
  oneOf: (schemas: readonly Schema[], value) =>
    schemas.filter((schema) => accepts(schema, value)).length === 1,
  not: (schema: Schema, value) => !accepts(schema, value),
};

/**
 * Validates a value by a JSON Schema.
 *
 * @param schema Schema of the keywords that are known here
 * @param value Value to validate
 * @returns Whether the schema accepts it
 * @throws {Error} For a keyword that is not known
 */
export function accepts(schema: Schema, value: unknown): boolean {
  return Object.entries(schema).every(([keyword, part]) => {
    if (NOTES.includes(keyword)) return true;
    const check = KEYWORDS[keyword];
    if (check === undefined) throw new Error(`No such keyword: ${keyword}`);
    return check(part as never, value, schema);
  });
}

function isType(type: string, value: unknown): boolean {
  if (type === "object") return isObject(value);
  if (type === "array") return Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  const actual: string = typeof value;
  return actual === type;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
