/**
 * Attributes that callers have for a policy, and their types. An operator assigns them, or a token claims them.
 *
 * @module
 */
import { checkInteger, checkRecord, checkWellFormed } from "../core/checks.ts";

/** Value of an attribute; numbers are whole. */
export type AttributeValue = string | number | boolean | readonly string[];

/** Attributes by name. */
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** Type of an attribute. */
export type AttributeType = "String" | "Long" | "Boolean" | "Set<String>";

/** Types of the attributes that callers may have, by name. */
export type AttributeTypes = Readonly<Record<string, AttributeType>>;

/** All types of attributes. */
export const ATTRIBUTE_TYPES: readonly AttributeType[] = ["String", "Long", "Boolean", "Set<String>"];

/** Names that no attribute may have: Cedar's words, which would need quotes, and what the host says of a caller. */
const RESERVED: readonly string[] = [
  ...["cid", "issuer", "subject", "sha256"],
  ...["true", "false", "if", "then", "else", "in", "is", "like", "has"],
];

const ATTRIBUTE_NAME = /^[A-Za-z_]\w{0,63}$/;

/**
 * Checks the types of attributes.
 *
 * @param what Name of an attribute, for messages: "A caller's attribute"
 * @param types Types by name
 * @returns Names and types, in order
 * @throws {TypeError} When a name is no word, or one of Cedar's words or the host's, or a type is none of the four
 */
export function checkAttributeTypes(
  what: string,
  types: unknown,
): readonly (readonly [name: string, type: AttributeType])[] {
  return checkRecord("attributes", types).map(([name, given]) => {
    if (!ATTRIBUTE_NAME.test(name) || RESERVED.includes(name)) {
      throw new TypeError(`${what} needs a name of letters, digits and _, and not a word of Cedar's`);
    }
    const type = ATTRIBUTE_TYPES.find((one) => one === given);
    if (type === undefined) {
      throw new TypeError(`The attribute ${name} must be String, Long, Boolean or Set<String>`);
    }
    return [name, type];
  });
}

/**
 * Checks attributes, and copies them.
 *
 * @param field Name of the attributes, for messages
 * @param given Attributes by name
 * @returns A copy
 * @throws {TypeError} When a name or a text is not well-formed, or a value is of no type that an attribute can have
 * @throws {RangeError} When a number is not whole, or larger than 2^53 - 1
 */
export function checkAttributes(field: string, given: unknown): Attributes {
  return Object.fromEntries(
    checkRecord(field, given).map(([name, value]) => [
      checkWellFormed("names", name),
      checkAttribute(field, value),
    ]),
  );
}

/**
 * Tells whether a value is of a type, to the letter: no text is a number, and no text a list of one.
 *
 * @param value Any value, such as one from JSON
 * @param type Type of an attribute
 * @returns Whether it is; a text with a lone surrogate or a NUL is not
 */
export function isOfType(value: unknown, type: AttributeType): value is AttributeValue {
  if (type === "String") return isText(value);
  if (type === "Boolean") return typeof value === "boolean";
  if (type === "Long") return Number.isSafeInteger(value);
  return Array.isArray(value) && value.every(isText);
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.isWellFormed() && !value.includes("\0");
}

function checkAttribute(field: string, value: unknown): AttributeValue {
  if (typeof value === "boolean") return value;
  if (typeof value === "string") return checkWellFormed(field, value);
  if (Array.isArray(value)) return value.map((item) => checkItem(field, item));
  return checkInteger(field, value, { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER });
}

function checkItem(field: string, item: unknown): string {
  if (typeof item !== "string") throw new TypeError(`${field} must be a string`);
  return checkWellFormed(field, item);
}
