/**
 * Settings of tokens, which are in the file only: on hardware it comes from the image, and so is measured.
 *
 * @module
 */
import * as v from "valibot";
import { ATTRIBUTE_TYPES, type AttributeTypes, checkAttributeTypes } from "../../lib/policy/attributes.ts";
import type { JsonObject } from "../json.ts";
import type { Setting } from "../settings.ts";
import { type CheckedIssuer, checkTokenIssuers, TOKEN_ALGORITHMS } from "./token_issuer.ts";

/** Makes the setting of the issuers whose tokens are taken. Default: none, and no token is looked at. */
export function tokenIssuers(): Setting<readonly CheckedIssuer[]> {
  return listedIn("issuers of tokens", checkTokenIssuers, TOKEN_ISSUERS);
}

/** Makes the setting of the claims that reach the policy, with their types. Default: none. */
export function tokenClaims(): Setting<AttributeTypes> {
  const read = (given: unknown) => Object.fromEntries(checkAttributeTypes("A token's claim", given));
  return listedIn("claims with their types", read, CLAIMS);
}

/** Makes a setting that is on or off, in the file only. */
export function fileSwitch(): Setting<boolean> {
  const jsonSchema = { type: "boolean", default: false };
  return { schema: v.optional(v.boolean(), false), jsonSchema, isFileOnly: true };
}

/** The check's messages name the place and never the value. */
function listedIn<T>(expected: string, read: (given: unknown) => T, json: JsonObject): Setting<T> {
  const schema = v.pipe(
    v.unknown(),
    v.rawTransform<unknown, T>(({ dataset, addIssue, NEVER }) => {
      try {
        return read(dataset.value);
      } catch (error) {
        addIssue({ expected: `${expected}: ${error instanceof Error ? error.message : "unknown"}` });
        return NEVER;
      }
    }),
  );
  const withDefault = v.optional(schema, json["default"]) as unknown as v.GenericSchema<unknown, T>;
  return { schema: withDefault, jsonSchema: { ...json, description: expected }, isFileOnly: true };
}

const NAME: JsonObject = { type: "string", minLength: 1, maxLength: 512 };

const TOKEN_ISSUER: JsonObject = {
  type: "object",
  properties: {
    issuer: { ...NAME, pattern: "^[^|]*$" },
    audience: { anyOf: [NAME, { type: "array", items: NAME, minItems: 1, maxItems: 16 }] },
    algorithms: {
      type: "array",
      items: { enum: [...TOKEN_ALGORITHMS] },
      minItems: 1,
      maxItems: TOKEN_ALGORITHMS.length,
    },
    keys: {
      type: "object",
      properties: { keys: { type: "array", items: { type: "object" }, minItems: 1, maxItems: 32 } },
      required: ["keys"],
      additionalProperties: false,
    },
    typ: { type: "string", minLength: 1, maxLength: 64 },
    maxLifetimeSeconds: { type: "integer", minimum: 60, maximum: 2_678_400, default: 86_400 },
  },
  required: ["issuer", "audience", "algorithms", "keys"],
  additionalProperties: false,
};

const TOKEN_ISSUERS: JsonObject = { type: "array", items: TOKEN_ISSUER, maxItems: 16, default: [] };

const CLAIMS: JsonObject = {
  type: "object",
  propertyNames: { pattern: "^[A-Za-z_]\\w{0,63}$" },
  additionalProperties: { enum: [...ATTRIBUTE_TYPES] },
  default: {},
};
