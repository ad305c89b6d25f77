/**
 * Checks that options and requests share. Their messages name the field and the expectation, and never the value,
 * which may be a secret.
 *
 * @module
 */

/**
 * Reads a record of names and values, and each value once. Values on a prototype, under a symbol or hidden from
 * enumeration would be left out in silence, and so are refused.
 *
 * @param field Name of the record
 * @param value A plain object, from this realm or another, or one without a prototype
 * @param expected Expectation, for the message. Default: a plain object
 * @returns Its own names and values, in order
 * @throws {TypeError} When it is anything else: a `Map`, `Set` or `Headers`, whose entries are no properties, an
 *   array, or an instance of a class
 */
export function checkRecord(
  field: string,
  value: unknown,
  expected?: string,
): readonly (readonly [name: string, value: unknown])[] {
  if (!isPlainObject(value)) throw noPlainObject(field, value, expected);
  return Reflect.ownKeys(value).map((name) => {
    if (typeof name === "string" && propertyIsEnumerable.call(value, name)) return [name, value[name]];
    throw hiddenProperty(field);
  });
}

/**
 * Checks that an object has known fields only, and reads each of them once.
 *
 * @param what Name of the object, for messages: "decrypt request"
 * @param value The object
 * @param known Names of all fields: an unknown one is most likely a misspelt safeguard
 * @returns A frozen copy without a prototype: it has the given fields, and none that somebody put on
 *   `Object.prototype`
 * @throws {TypeError} When it is no plain object, or has a field that is not known
 */
export function checkFields<T>(what: string, value: T, known: readonly string[]): T {
  const copy: Record<string, unknown> & { __proto__: null } = { __proto__: null };
  if (!isPlainObject(value)) throw noPlainObject(`The ${what}`, value);
  for (const field of Reflect.ownKeys(value)) {
    if (typeof field !== "string" || !propertyIsEnumerable.call(value, field)) {
      throw hiddenProperty(`The ${what}`);
    }
    if (!known.includes(field)) {
      const verb = /\b(?:options|parts)\b/.test(what) ? "have" : "has";
      throw new TypeError(`The ${what} ${verb} no field ${quoteField(field)}: expected ${known.join(", ")}`);
    }
    copy[field] = value[field];
  }
  return Object.freeze(copy) as T;
}

/**
 * Checks an integer.
 *
 * @param field Name of the field
 * @param value An integer, or undefined for the default
 * @param range Least and greatest allowed, and the default
 * @throws {TypeError} When it is no number
 * @throws {RangeError} When it is out of range, or not an integer
 */
export function checkInteger(
  field: string,
  value: unknown,
  range: { min: number; max: number; default?: number },
): number {
  if (value === undefined && range.default !== undefined) return range.default;
  if (typeof value !== "number") throw new TypeError(`${field} must be a number`);
  if (!Number.isInteger(value) || value < range.min || value > range.max) {
    throw new RangeError(`${field} must be an integer from ${range.min} to ${range.max}`);
  }
  return value;
}

/**
 * Checks an option that is on or off.
 *
 * @param field Name of the option
 * @param value Value that the caller gave
 * @returns The value; false for none
 * @throws {TypeError} When it is no boolean
 */
export function checkFlag(field: string, value: unknown): boolean {
  if (value === undefined) return false;
  if (typeof value !== "boolean") throw new TypeError(`${field} must be true or false`);
  return value;
}

/**
 * Checks that a value is one of some words.
 *
 * @param field Name of the field
 * @param value One of the allowed words, or undefined
 * @param allowed The words
 * @throws {TypeError} When it is anything else
 */
export function checkOneOf<T extends string>(
  field: string,
  value: unknown,
  allowed: readonly T[],
): T | undefined {
  if (value === undefined) return undefined;
  const found = allowed.find((word) => word === value);
  if (found === undefined) throw new TypeError(`${field} must be one of ${allowed.join(", ")}`);
  return found;
}

/**
 * Checks that text survives the way to KMS: well-formed Unicode without NUL.
 *
 * @param field Name of the field
 * @param value The text
 * @param maxLength Greatest length, in UTF-16 code units
 * @throws {TypeError} When it is no string, or has a NUL or a lone surrogate
 * @throws {RangeError} When it is empty or too long
 */
export function checkText(field: string, value: unknown, maxLength: number): string {
  if (typeof value !== "string") throw new TypeError(`${field} must be a string`);
  if (value.length === 0 || value.length > maxLength) {
    throw new RangeError(`${field} must have 1 to ${maxLength} characters`);
  }
  return checkWellFormed(field, value);
}

/**
 * Checks that text is well-formed Unicode without NUL.
 *
 * @param field Name of the field
 * @param value Text of any length
 * @throws {TypeError} When it has a NUL or a lone surrogate
 */
export function checkWellFormed(field: string, value: string): string {
  if (!value.isWellFormed()) throw new TypeError(`${field} must not contain a lone surrogate`);
  if (value.includes("\0")) throw new TypeError(`${field} must not contain a NUL`);
  return value;
}

function noPlainObject(field: string, value: unknown, expected?: string): TypeError {
  return new TypeError(`${field} must be ${expected ?? `a plain object${describeOther(value)}`}`);
}

function hiddenProperty(field: string): TypeError {
  return new TypeError(`${field} must have no symbols and no hidden properties`);
}

function quoteField(field: string): string {
  return /^\w{1,40}$/.test(field) ? `\`${field}\`` : "of that name";
}

const { propertyIsEnumerable } = Object.prototype;

/** Compares the shape of the prototype, not its identity: another realm has its own `Object.prototype`. */
function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return true;
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype as object, "isPrototypeOf");
}

function describeOther(value: unknown): string {
  if (typeof value !== "object" || value === null) return "";
  if (Array.isArray(value)) return ", not an array";
  if (Symbol.iterator in value) return ", not a Map or another collection: Object.fromEntries() makes one";
  return ", not an instance of a class";
}
