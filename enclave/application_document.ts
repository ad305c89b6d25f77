import { checkFields } from "../lib/core/checks.ts";
import type { JsonObject } from "./json.ts";
import type { OpenApiPart } from "./openapi.ts";

/** OpenAPI document of an application's own routes, as far as it is joined with that of the built-in ones. */
export interface ApplicationDocument extends OpenApiPart {
  /** Title and version of the API, and its description. Default: the application's name, and version 1. */
  readonly info?: JsonObject | undefined;
}

/**
 * Whole document in OpenAPI 3.1 of an application's own routes, such as `generateSpecs()` of the package `hono-openapi`
 * makes. Its `info` replaces the default; paths, components and tags are joined with those of the built-in routes.
 */
export interface GeneratedDocument {
  /** Version of OpenAPI, `3.1.0` or another of 3.1. */
  readonly openapi: string;
  /** Title and version of the API, and its description. */
  readonly info?: object | undefined;
  /** Operations by path and method. */
  readonly paths?: object | undefined;
  /** Schemas and other parts that they share, by kind and name. */
  readonly components?: object | undefined;
  /** Tags of operations; not joined. */
  readonly tags?: readonly object[] | undefined;
}

const FIELDS = ["info", "paths", "schemas"];
const GENERATED_FIELDS = ["openapi", "info", "paths", "components", "tags"];

/**
 * Checks the document of an application, and takes what JSON keeps of it.
 *
 * @param given Parts, or a whole document
 * @throws {TypeError} When it has a field that would be lost, such as `security`, or is of another version
 */
export function checkDocument(given: ApplicationDocument | GeneratedDocument = {}): ApplicationDocument {
  if (!("openapi" in given)) return checkFields("openapi", given, FIELDS);
  const { openapi, info, paths = {}, components = {} } = checkFields("openapi", given, GENERATED_FIELDS);
  if (typeof openapi !== "string" || !/^3\.1\.\d{1,3}$/.test(openapi)) {
    throw new TypeError(
      "openapi.openapi must be a version of 3.1: no other is joined with the built-in routes'",
    );
  }
  const kinds = toJson(components) as Record<string, JsonObject>;
  const { schemas, ...others } = kinds;
  return {
    ...(info === undefined ? {} : { info: toJson(info) }),
    paths: toJson(paths) as NonNullable<OpenApiPart["paths"]>,
    schemas,
    components: others,
  };
}

function toJson(value: object): JsonObject {
  return JSON.parse(JSON.stringify(value)) as JsonObject;
}
