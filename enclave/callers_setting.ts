/**
 * Setting of the attributes that the operator assigns to callers, in the file only.
 *
 * @module
 */
import * as v from "valibot";
import type { Attributes } from "../lib/policy/attributes.ts";
import { isCid, isSha256 } from "../lib/policy/principal.ts";
import type { JsonObject } from "./json.ts";
import type { Setting } from "./settings.ts";

const CALLERS =
  "attributes by CID or certificate:<SHA-256>: texts, whole numbers, booleans and lists of texts";

const ATTRIBUTE: JsonObject = {
  anyOf: [
    { type: "string" },
    { type: "boolean" },
    { type: "integer", minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER },
    { type: "array", items: { type: "string" } },
  ],
};

/** Makes the setting of callers' attributes. Default: none. */
export function callersSetting(): Setting<Readonly<Record<string, Attributes>>> {
  const jsonSchema: JsonObject = {
    type: "object",
    propertyNames: { pattern: "^(?:0|[1-9]\\d{0,9}|certificate:[0-9a-f]{64})$" },
    additionalProperties: { type: "object", additionalProperties: ATTRIBUTE },
    default: {},
    description: CALLERS,
  };
  const check = v.custom<Readonly<Record<string, Attributes>>>(isCallers, CALLERS);
  return { schema: v.optional(check, {}), jsonSchema, isFileOnly: true };
}

/**
 * Checks the setting as a whole. v.record() would drop names such as "constructor", and a policy may forbid by an
 * attribute that was lost.
 *
 * @param value Value from the configuration's JSON
 */
export function isCallers(value: unknown): boolean {
  return isObject(value) &&
    Object.entries(value).every(([caller, attributes]) =>
      isCaller(caller) && isObject(attributes) && Object.values(attributes).every(isAttribute)
    );
}

function isCaller(text: string): boolean {
  const [, sha256] = /^certificate:(.*)$/.exec(text) ?? [];
  return sha256 === undefined ? isCid(text) : isSha256(sha256);
}

function isAttribute(value: unknown): boolean {
  if (Array.isArray(value)) return value.every((item) => typeof item === "string");
  return typeof value === "string" || typeof value === "boolean" || Number.isSafeInteger(value);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
