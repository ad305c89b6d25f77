/**
 * Parts of OpenAPI documents, and the document of an application, joined from those of its routes.
 *
 * @module
 */
import type { JsonObject } from "./json.ts";

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

/** Part of a document that a route or an application gives. */
export interface OpenApiPart {
  /** Operations by path and method. */
  readonly paths?: Readonly<Record<string, Readonly<Record<string, JsonObject>>>> | undefined;
  /** Schemas that they share, by name. */
  readonly schemas?: JsonObject | undefined;
  /** Other parts that they share, such as `securitySchemes`, by kind and name. */
  readonly components?: Readonly<Record<string, JsonObject>> | undefined;
}

/**
 * Joins the document of an application.
 *
 * @param info Title and version of the API, and its description
 * @param parts Parts of the routes and of the application
 * @returns The document
 * @throws {TypeError} When two parts have the same operation or the same schema
 */
export function joinOpenApi(info: JsonObject, parts: readonly OpenApiPart[]): OpenApiDocument {
  const paths: OpenApiDocument["paths"] = {};
  const schemas: JsonObject = {};
  const components: JsonObject = {};
  for (const part of parts) {
    for (const [path, methods] of Object.entries(part.paths ?? {})) {
      paths[path] = addOnce(`an operation of ${path}`, paths[path] ?? {}, methods);
    }
    Object.assign(schemas, addOnce("a schema", schemas, part.schemas ?? {}));
    Object.assign(components, addOnce("a kind of components", components, part.components ?? {}));
  }
  const shared = { ...components, schemas: addOnce("a schema", schemas, PROBLEM) };
  return { openapi: "3.1.0", info, paths, components: shared };
}

function addOnce<T>(
  what: string,
  known: Readonly<Record<string, T>>,
  added: Readonly<Record<string, T>>,
): Record<string, T> {
  const twice = Object.keys(added).find((name) => Object.hasOwn(known, name));
  if (twice === undefined) return { ...known, ...added };
  throw new TypeError(`Cannot join the OpenAPI document: ${what} is there twice: ${twice}`);
}

/**
 * Describes a text of bytes.
 *
 * @param description Meaning of the bytes
 */
export function base64Schema(description: string): JsonObject {
  return { type: "string", contentEncoding: "base64", description };
}

/**
 * Describes an object without other members.
 *
 * @param properties Schemas of the members
 * @param required Names of those that are always there. Default: all
 */
export function objectSchema(
  properties: JsonObject,
  required: string[] = Object.keys(properties),
): JsonObject {
  return { type: "object", properties, required, additionalProperties: false };
}

/**
 * Describes an answer.
 *
 * @param description Meaning of the answer
 * @param schema Schema of its body
 * @param type Media type of its body
 */
export function answerOf(description: string, schema: JsonObject, type = "application/json"): JsonObject {
  return { description, content: { [type]: { schema } } };
}

/**
 * Describes a problem as an answer.
 *
 * @param description Meaning of the problem
 */
export function problemFor(description: string): JsonObject {
  return answerOf(description, { $ref: "#/components/schemas/Problem" }, "application/problem+json");
}

/**
 * Describes a JSON body by the name of its schema.
 *
 * @param schema Name of the schema
 */
export function bodyOf(schema: string): JsonObject {
  return {
    required: true,
    content: { "application/json": { schema: { $ref: `#/components/schemas/${schema}` } } },
  };
}

/** Problems of every route that asks the policy, KMS or the NSM. */
export const PROBLEMS: JsonObject = {
  400: problemFor("Wrong in form; `errors` has the places"),
  401: problemFor("The token is not taken (`ERR_TOKEN`)"),
  403: problemFor("The policy (`ERR_POLICY_DENIED`) or KMS (`ERR_KMS`) refuses"),
  500: problemFor("A defect; the log has more under the id in `instance`"),
  502: problemFor("KMS cannot be reached, or answers something else than KMS"),
  503: problemFor(
    "Too many requests, no credentials that KMS takes, or KMS throttles or has not told the time: try again after `Retry-After`",
  ),
  504: problemFor("No answer within the request deadline"),
};

/** Problems of every route with a body. */
export const BODY_PROBLEMS: JsonObject = {
  413: problemFor("The body is larger than 64 KiB"),
  415: problemFor("The body is not application/json"),
};

const PROBLEM: JsonObject = {
  Problem: objectSchema({
    type: { type: "string", description: "about:blank, or a registered type" },
    title: { type: "string" },
    status: { type: "integer" },
    code: { type: "string", pattern: "^ERR_[A-Z_]+$" },
    instance: { type: "string", description: "urn:uuid: and the request's id, as in the log" },
    errors: {
      type: "array",
      items: objectSchema({ path: { type: "string" }, expected: { type: "string" } }),
    },
  }, ["type", "title", "status", "code", "instance"]),
};
