/** The way through a JSON value along its schema, which does something to each marked field. */
import { BadRequestError } from "enclave-kms/enclave";
import { reachesMark, type Schema } from "./schemas.ts";

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** Place of a value. */
export interface Place {
  /** For messages: a JSON pointer, with `*` for what the schema has no name for. */
  readonly pointer: string;
  /** Names of properties, and 0 for any element of an array: moving elements does no harm. */
  readonly path: readonly (string | 0)[];
}

/** Does something to a marked field, given its types; empty for any. */
export type Apply = (value: Json, place: Place, types: readonly string[]) => Json;

const MAX_DEPTH = 64;
/** Place of the whole value. */
export const ROOT: Place = { pointer: "", path: [] };

/**
 * Makes a copy of a value in which each marked field is replaced. `null` is left as it is.
 *
 * @throws {BadRequestError} When the value does not fit the schema so that marks would not be found, is too deep, or has
 *   a number that JavaScript cannot hold
 */
export function mapFields(value: Json, schema: Schema, apply: Apply): Json {
  return walk(value, [schema], ROOT, apply);
}

/** Makes the error for a value that is not as expected. */
export function unfit({ pointer }: Place, expected: string): BadRequestError {
  return new BadRequestError([{ path: pointer, expected }]);
}

function walk(value: Json, given: readonly Schema[], place: Place, apply: Apply): Json {
  if (place.path.length > MAX_DEPTH) throw unfit(place, `at most ${MAX_DEPTH} levels`);
  const schemas = withAlternatives(given);
  if (value === null) return null;
  const marked = schemas.filter(({ isMarked }) => isMarked);
  if (marked.length > 0) {
    walk(value, [], place, apply); // for its limits
    return apply(value, place, marked.flatMap(({ types }) => types));
  }
  expectContainer(value, schemas, place);
  if (isArray(value)) {
    const items = schemas.flatMap((schema) => schema.items ?? []);
    return value.map((item) => walk(item, items, below(place, "*", 0), apply));
  }
  if (typeof value === "object") return walkObject(value, schemas, place, apply);
  if (!Number.isInteger(value) || Number.isSafeInteger(value)) return value;
  throw unfit(place, "a number of at most 2^53 - 1, or a string");
}

function walkObject(
  value: { readonly [name: string]: Json },
  schemas: readonly Schema[],
  place: Place,
  apply: Apply,
): Json {
  const copy = Object.create(null) as Record<string, Json>; // so that __proto__ is a name like others
  for (const [name, part] of Object.entries(value)) {
    const fitting = schemas.flatMap(({ properties, rest }) => properties.get(name) ?? rest ?? []);
    if (fitting.length === 0 && schemas.some(({ isClosed }) => isClosed)) {
      throw unfit(place, "no properties but those of the schema");
    }
    const isNamed = schemas.some(({ properties }) => properties.has(name));
    copy[name] = walk(part, fitting, below(place, isNamed ? name : "*", name), apply);
  }
  return copy;
}

/** Refuses a value of another kind than the one in which the marks are: it would pass in clear. */
function expectContainer(value: Json, schemas: readonly Schema[], place: Place): void {
  const inObject = schemas.some(({ properties, rest }) =>
    [...properties.values(), rest ?? []].flat().some(reachesMark)
  );
  const inArray = schemas.some(({ items }) => items !== undefined && reachesMark(items));
  if (!inObject && !inArray) return;
  if (isArray(value) ? inArray : inObject && typeof value === "object") return;
  throw unfit(place, inObject ? "an object" : "an array");
}

/** Adds the schemas that stand beside others. */
function withAlternatives(schemas: readonly Schema[]): readonly Schema[] {
  const all = new Set(schemas);
  for (const { also } of all) for (const schema of also) all.add(schema); // a set goes on with what is added
  return [...all];
}

function below({ pointer, path }: Place, shown: string, name: string | 0): Place {
  return { pointer: `${pointer}/${shown}`, path: [...path, name] };
}

function isArray(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}
