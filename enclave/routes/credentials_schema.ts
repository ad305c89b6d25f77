/**
 * JSON Schema of credentials, for the OpenAPI document. `readCredentials()` has the last word, and a test holds the two
 * together.
 *
 * @module
 */
import {
  EARLIEST_MS,
  ISO_TIME,
  LATEST_MS,
  MAX_ACCESS_KEY_ID_BYTES,
  MAX_SECRET_ACCESS_KEY_BYTES,
  MAX_SESSION_TOKEN_BYTES,
  STS_FIELDS,
} from "../../lib/aws/credentials_shape.ts";
import type { JsonObject } from "../json.ts";
import { objectSchema } from "../openapi.ts";

const PRINTABLE = "^[!-~]+$";

/** Printable, but for the comma and the slash. */
const KEY_ID = "^[!-+.0-~-]+$";

const ACCESS_KEY_ID: JsonObject = { type: "string", maxLength: MAX_ACCESS_KEY_ID_BYTES, pattern: KEY_ID };

const SECRET_ACCESS_KEY: JsonObject = {
  type: "string",
  maxLength: MAX_SECRET_ACCESS_KEY_BYTES,
  pattern: PRINTABLE,
  writeOnly: true,
};

const SESSION_TOKEN: JsonObject = {
  type: "string",
  maxLength: MAX_SESSION_TOKEN_BYTES,
  pattern: PRINTABLE,
  writeOnly: true,
};

const EXPIRATION: JsonObject = {
  description: "ISO 8601 with a time zone, or milliseconds since 1970; advice, since KMS decides",
  oneOf: [
    { type: "string", format: "date-time", pattern: ISO_TIME.source },
    { type: "number", exclusiveMinimum: EARLIEST_MS, maximum: LATEST_MS },
  ],
};

const FORCE: JsonObject = {
  type: "boolean",
  description: "Sets credentials that expire before those in force, too",
};

const AWS_CREDENTIALS = {
  AccessKeyId: ACCESS_KEY_ID,
  SecretAccessKey: SECRET_ACCESS_KEY,
  SessionToken: SESSION_TOKEN,
  Token: SESSION_TOKEN,
  Expiration: EXPIRATION,
  Code: { type: "string", const: "Success" },
  LastUpdated: { type: "string" },
  Type: { type: "string" },
  RoleArn: { type: "string" },
  AccountId: { type: "string" },
  Version: { type: "integer", const: 1 },
};

/** Describes the form that AWS writes, with fields beside it. The session token goes by one of two names. */
const aws = (beside: JsonObject): JsonObject => ({
  ...objectSchema({ ...AWS_CREDENTIALS, ...beside }, ["AccessKeyId", "SecretAccessKey"]),
  not: { required: ["SessionToken", "Token"] },
});

const ANYTHING: JsonObject = {};

/** Body of `POST /v1/credentials`. */
export const CREDENTIALS_SCHEMA: JsonObject = {
  description: "As the library, IMDS, ECS, STS or the command line writes them",
  oneOf: [
    objectSchema({
      accessKeyId: ACCESS_KEY_ID,
      secretAccessKey: SECRET_ACCESS_KEY,
      sessionToken: SESSION_TOKEN,
      expiration: EXPIRATION,
      force: FORCE,
    }, ["accessKeyId", "secretAccessKey"]),
    aws({ force: FORCE }),
    objectSchema({
      ...Object.fromEntries(STS_FIELDS.map((name) => [name, ANYTHING])),
      Credentials: aws({}),
      force: FORCE,
    }, ["Credentials"]),
  ],
};
