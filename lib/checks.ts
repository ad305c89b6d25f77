/**
 * The checks that options and requests share. Their messages name the field and what was expected, never
 * the value, which may be a secret.
 */

/** What a field may be given as, once it is not undefined. */
type Fields = Readonly<Record<string, unknown>>;

/**
 * @param what The thing, for messages: "decrypt request"
 * @param value What the caller gave
 * @param known Every field there is: an unknown one is most likely a misspelt safeguard
 * @returns The same object
 * @throws {TypeError} When it is no object, or has a field that is not known
 */
export function checkFields(what: string, value: unknown, known: readonly string[]): Fields {
  if (typeof value !== "object" || value === null) throw new TypeError(`The ${what} must be an object`);
  for (const field of Object.keys(value)) {
    if (known.includes(field)) continue;
    const verb = /\boptions\b/.test(what) ? "have" : "has";
    throw new TypeError(`The ${what} ${verb} no field ${quoteField(field)}: expected ${known.join(", ")}`);
  }
  return value as Fields;
}

/**
 * @param field Its name
 * @param value An integer, or undefined for the default
 * @param range The least and the greatest allowed, and the default
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
 * @param field Its name
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
 * Text that survives the way to KMS: well-formed Unicode without NUL.
 *
 * @param field Its name
 * @param value The text
 * @param maxLength In UTF-16 code units
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
 * @param field Its name
 * @param value Text of any length
 * @throws {TypeError} When it has a NUL or a lone surrogate
 */
export function checkWellFormed(field: string, value: string): string {
  if (!value.isWellFormed()) throw new TypeError(`${field} must not contain a lone surrogate`);
  if (value.includes("\0")) throw new TypeError(`${field} must not contain a NUL`);
  return value;
}

function quoteField(field: string): string {
  return /^\w{1,40}$/.test(field) ? `\`${field}\`` : "of that name";
}
