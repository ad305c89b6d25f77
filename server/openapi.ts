/**
 * The HTTP routes as an OpenAPI document: KMS's operations from their table, and their bodies from the schemas that
 * requests are checked with, through `openapi_schemas.ts`; the built-in routes tell theirs. Tests hold the document
 * against both.
 *
 * @module
 */
import { OPERATIONS } from "../lib/kms/operations/operations.ts";
import type { JsonObject } from "../enclave/json.ts";
import {
  answerOf,
  BODY_PROBLEMS,
  bodyOf,
  joinOpenApi,
  objectSchema,
  type OpenApiDocument,
  problemFor,
  PROBLEMS,
} from "../enclave/openapi.ts";
import { documentOf } from "../enclave/routes/built_in_route.ts";
import { CONTROL_ROUTES, PUBLIC_ROUTES } from "../enclave/routes/built_in_routes.ts";
import type { AnyKmsRoute, MemberDescription, MemberDescriptions } from "./kms_route.ts";
import { KMS_ROUTES } from "./kms_routes.ts";
import { REQUEST_SCHEMAS } from "./openapi_schemas.ts";

/** Part of a route that its document is made of. */
type KmsRouteDocument = Pick<AnyKmsRoute, "operation" | "summary" | "bodyName" | "members">;

const kmsOperation = (
  { operation, summary, bodyName, members }: KmsRouteDocument,
): Record<string, JsonObject> => ({
  post: {
    operationId: operation,
    summary: `${summary}, if the policy permits`,
    requestBody: bodyOf(bodyName),
    responses: {
      200: answerOf("KMS's answer", objectSchema(described(members))),
      ...(OPERATIONS[operation].hasDryRun ? { 204: { description: "A dry run: KMS would do it" } } : {}),
      404: problemFor("KMS knows no such key"),
      409: problemFor("The key is in no state to be used"),
      422: problemFor("The signature or the code that was to be verified is not valid"),
      501: problemFor("The engine of this server cannot do it"),
      ...PROBLEMS,
      ...BODY_PROBLEMS,
    },
  },
});

const described = (members: MemberDescriptions): JsonObject =>
  Object.fromEntries(
    Object.entries<MemberDescription>(members).map((
      [name, description],
    ) => [name, memberSchema(description)]),
  );

const memberSchema = (description: MemberDescription): JsonObject =>
  typeof description === "string"
    ? { type: "string", description }
    : { type: "array", items: { type: "string" }, description: description[0] };

const INFO: JsonObject = {
  title: "enclave-kms",
  version: "1",
  description: "AWS KMS inside a Nitro Enclave",
};

/** OpenAPI document of the HTTP routes, those of the control listener included. */
export const OPENAPI_DOCUMENT: OpenApiDocument = joinOpenApi(INFO, [
  {
    paths: Object.fromEntries(KMS_ROUTES.map((route) => [route.path, kmsOperation(route)])),
    schemas: REQUEST_SCHEMAS,
  },
  documentOf(PUBLIC_ROUTES),
  documentOf(CONTROL_ROUTES),
]);
