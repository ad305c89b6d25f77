import type { TypedResponse } from "hono";
import type { ToSchema } from "hono/types";
import { validator } from "hono/validator";
import type { ProvidedCredentials } from "../../lib/aws/credentials.ts";
import { readCredentials } from "../../lib/aws/credentials_shape.ts";
import { JSON_BODY } from "../http/json_body.ts";
import { BODY_PROBLEMS, bodyOf, problemFor, PROBLEMS } from "../openapi.ts";
import { BadRequestError } from "../service_errors.ts";
import { setCredentials } from "../set_credentials.ts";
import type { BuiltInRoute } from "./built_in_route.ts";
import { CREDENTIALS_SCHEMA } from "./credentials_schema.ts";

/** Types of `POST /v1/credentials`, for Hono's typed client. */
export type CredentialsSchema = ToSchema<
  "post",
  "/v1/credentials",
  { in: { json: CredentialsBody }; out: { json: CredentialsBody } },
  TypedResponse<null, 204, "body">
>;

/** Body of `POST /v1/credentials`: credentials in any of the forms of AWS or of the library, whose parts are strings. */
export type CredentialsBody = ProvidedCredentials & {
  /** Sets credentials that expire before those in force, too. Default: false. */
  readonly force?: boolean | undefined;
};

/** Route that sets everybody's credentials. */
export const CREDENTIALS: BuiltInRoute = {
  name: "credentials",
  method: "post",
  paths: ["/v1/credentials", "/set-credentials"],
  operation: "SetCredentials",
  document: {
    operationId: "setCredentials",
    summary: "Sets or replaces the credentials; on the control listener, which the parent alone reaches, " +
      "unless the policy is to decide who may",
    requestBody: bodyOf("Credentials"),
    responses: {
      204: { description: "They are in force" },
      409: problemFor("They expire before those in force (`ERR_CREDENTIALS_OLDER`)"),
      ...PROBLEMS,
      ...BODY_PROBLEMS,
    },
  },
  schemas: { Credentials: CREDENTIALS_SCHEMA },
  handlers: ({ service }) => [
    ...JSON_BODY,
    validator("json", (input) => parseCredentials(input)),
    async (c) => {
      const { force, ...credentials } = c.req.valid("json" as never) as CredentialsBody;
      setCredentials(service, credentials, c.var.record, { force });
      return await Promise.resolve(c.body(null, 204));
    },
  ],
};

/**
 * Checks the body of `POST /v1/credentials`.
 *
 * @param input Body as it was sent
 * @throws {BadRequestError} With every field that is wrong
 */
export function parseCredentials(input: unknown): CredentialsBody {
  const { force, ...credentials } = isObject(input) ? input : {};
  const read = readCredentials(isObject(input) ? credentials : input, "json");
  const problems = "accessKeyId" in read ? [] : read.slice(0, 10);
  if (force !== undefined && typeof force !== "boolean") {
    problems.unshift({ path: "force", expected: "true or false" });
  }
  if (problems.length === 0) return input as CredentialsBody;
  throw new BadRequestError(problems);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
