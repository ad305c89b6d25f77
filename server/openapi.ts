/**
 * The HTTP routes as an OpenAPI document: KMS's operations from their table, and bodies and queries from the schemas that
 * requests are checked with, through `openapi_schemas.ts`. Tests hold the document against both.
 *
 * @module
 */
import {
  MAX_ACCESS_KEY_ID_BYTES,
  MAX_SECRET_ACCESS_KEY_BYTES,
  MAX_SESSION_TOKEN_BYTES,
} from "../lib/aws/credentials_shape.ts";
import { OPERATIONS } from "../lib/kms/operations/operations.ts";
import type { JsonObject } from "./json.ts";
import { KMS_ROUTES } from "./kms_routes.ts";
import { QUERY_SCHEMAS, REQUEST_SCHEMAS } from "./openapi_schemas.ts";

/** Part of a route that its document is made of. */
type KmsRouteDocument = Pick<typeof KMS_ROUTES[number], "operation" | "summary" | "bodyName" | "members">;

/** Document in OpenAPI 3.1, as far as it is used here. */
export interface OpenApiDocument {
  /** Version of OpenAPI. */
  openapi: string;
  /** Title and version of the API. */
  info: JsonObject;
  /** Operations by path and method. */
  paths: Record<string, Record<string, JsonObject>>;
  /** Schemas that operations share. */
  components: JsonObject;
}

const base64 = (description: string): JsonObject => ({
  type: "string",
  contentEncoding: "base64",
  description,
});

const object = (properties: JsonObject, required: string[]): JsonObject => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
});

const answer = (description: string, schema: JsonObject, type = "application/json"): JsonObject => ({
  description,
  content: { [type]: { schema } },
});

const problemFor = (description: string): JsonObject =>
  answer(description, { $ref: "#/components/schemas/Problem" }, "application/problem+json");

const PROBLEMS: JsonObject = {
  400: problemFor("Wrong in form; `errors` has the places"),
  403: problemFor("The policy (`ERR_POLICY_DENIED`) or KMS (`ERR_KMS`) refuses"),
  500: problemFor("A defect; the log has more under the id in `instance`"),
  502: problemFor("KMS cannot be reached, or answers something else than KMS"),
  503: problemFor(
    "Too many requests, no credentials that KMS takes, or KMS throttles: try again after `Retry-After`",
  ),
  504: problemFor("No answer within the request deadline"),
};

const BODY_PROBLEMS: JsonObject = {
  413: problemFor("The body is larger than 64 KiB"),
  415: problemFor("The body is not application/json"),
};

const body = (schema: string): JsonObject => ({
  required: true,
  content: { "application/json": { schema: { $ref: `#/components/schemas/${schema}` } } },
});

const kmsOperation = (
  { operation, summary, bodyName, members }: KmsRouteDocument,
): Record<string, JsonObject> => ({
  post: {
    operationId: operation,
    summary: `${summary}, if the policy permits`,
    requestBody: body(bodyName),
    responses: {
      200: answer("KMS's answer", object(described(members), Object.keys(members))),
      ...(OPERATIONS[operation].hasDryRun ? { 204: { description: "A dry run: KMS would do it" } } : {}),
      404: problemFor("KMS knows no such key"),
      409: problemFor("The key is in no state to be used"),
      501: problemFor("The engine of this server cannot do it"),
      ...PROBLEMS,
      ...BODY_PROBLEMS,
    },
  },
});

const described = (members: Readonly<Record<string, string>>): JsonObject =>
  Object.fromEntries(
    Object.entries(members).map(([name, description]) => [name, { type: "string", description }]),
  );

const READINESS = object(
  {
    library: { type: "boolean" },
    nsm: { type: "boolean" },
    credentials: { type: "boolean" },
    policy: { type: "boolean" },
  },
  ["library", "nsm", "credentials", "policy"],
);

const ACCESS_KEY_ID: JsonObject = { type: "string", minLength: 1, maxLength: MAX_ACCESS_KEY_ID_BYTES };

const SECRET_ACCESS_KEY: JsonObject = {
  type: "string",
  minLength: 1,
  maxLength: MAX_SECRET_ACCESS_KEY_BYTES,
  writeOnly: true,
};

const SESSION_TOKEN: JsonObject = {
  type: "string",
  minLength: 1,
  maxLength: MAX_SESSION_TOKEN_BYTES,
  writeOnly: true,
};

const EXPIRATION: JsonObject = {
  description: "ISO 8601 with a time zone, or milliseconds since 1970; advice, since KMS decides",
  oneOf: [{ type: "string", format: "date-time" }, { type: "number" }],
};

const AWS_CREDENTIALS: JsonObject = object({
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
}, ["AccessKeyId", "SecretAccessKey"]);

const SCHEMAS: JsonObject = {
  ...REQUEST_SCHEMAS,
  Credentials: {
    description: "As the library, IMDS, ECS, STS or the command line writes them",
    oneOf: [
      object({
        accessKeyId: ACCESS_KEY_ID,
        secretAccessKey: SECRET_ACCESS_KEY,
        sessionToken: SESSION_TOKEN,
        expiration: EXPIRATION,
      }, ["accessKeyId", "secretAccessKey"]),
      AWS_CREDENTIALS,
      { type: "object", properties: { Credentials: AWS_CREDENTIALS }, required: ["Credentials"] },
    ],
  },
  Problem: object({
    type: { type: "string", const: "about:blank" },
    title: { type: "string" },
    status: { type: "integer" },
    code: { type: "string", pattern: "^ERR_[A-Z_]+$" },
    instance: { type: "string", description: "urn:uuid: and the request's id, as in the log" },
    errors: {
      type: "array",
      items: object({ path: { type: "string" }, expected: { type: "string" } }, ["path", "expected"]),
    },
  }, ["type", "title", "status", "code", "instance"]),
};

/** OpenAPI document of the HTTP routes. */
export const OPENAPI_DOCUMENT: OpenApiDocument = {
  openapi: "3.1.0",
  info: { title: "enclave-kms", version: "1", description: "AWS KMS inside a Nitro Enclave" },
  paths: {
    ...Object.fromEntries(KMS_ROUTES.map((route) => [route.path, kmsOperation(route)])),
    "/v1/credentials": {
      post: {
        operationId: "setCredentials",
        summary: "Sets or replaces the credentials; only the parent may, by default",
        requestBody: body("Credentials"),
        responses: { 204: { description: "They are in force" }, ...PROBLEMS, ...BODY_PROBLEMS },
      },
    },
    "/v1/attestation": {
      get: {
        operationId: "getAttestation",
        summary: "An attestation document with the caller's nonce",
        parameters: [
          { name: "nonce", in: "query", required: true, schema: QUERY_SCHEMAS.nonce },
          { name: "encoding", in: "query", schema: QUERY_SCHEMAS.encoding },
        ],
        responses: {
          200: answer("The document", object({ document: base64("A COSE_Sign1 document") }, ["document"])),
          ...PROBLEMS,
        },
      },
    },
    "/healthz": {
      get: {
        operationId: "health",
        summary: "Whether the process runs",
        responses: { 200: answer("It does", object({ status: { type: "string" } }, ["status"])) },
      },
    },
    "/readyz": {
      get: {
        operationId: "readiness",
        summary: "Whether it can decrypt",
        responses: { 200: answer("It can", READINESS), 503: answer("Something is missing", READINESS) },
      },
    },
    "/metrics": {
      get: {
        operationId: "metrics",
        summary: "Counters for Prometheus",
        responses: { 200: answer("Counters", { type: "string" }, "text/plain") },
      },
    },
    "/openapi.json": {
      get: {
        operationId: "openapi",
        summary: "This document",
        responses: { 200: answer("OpenAPI 3.1", { type: "object" }) },
      },
    },
  },
  components: { schemas: SCHEMAS },
};
