import type { TypedResponse } from "hono";
import type { ToSchema } from "hono/types";
import type { JsonObject } from "../json.ts";
import { answerOf, objectSchema } from "../openapi.ts";
import type { EnclaveInfo } from "../enclave_info.ts";
import type { BuiltInRoute } from "./built_in_route.ts";

/** Types of `GET /v1/info`, for Hono's typed client. */
export type InfoSchema = ToSchema<
  "get",
  "/v1/info",
  Record<never, never>,
  TypedResponse<EnclaveInfo, 200, "json">
>;

const TEXTS: JsonObject = { type: "object", additionalProperties: { type: "string" } };

const INFO_SCHEMA: JsonObject = objectSchema({
  name: { type: "string" },
  enclaveId: { type: ["string", "null"], description: "Module id of the NSM" },
  bootId: { type: "string", pattern: "^[0-9a-f]{32}$" },
  isSimulated: { type: "boolean" },
  versions: TEXTS,
  pcrs: TEXTS,
});

/** Route that describes the enclave. */
export const INFO: BuiltInRoute = {
  name: "info",
  method: "get",
  paths: ["/v1/info"],
  operation: "Info",
  document: {
    operationId: "info",
    summary: "The enclave's word on its id, boot, versions and PCRs: nothing proves it but a document",
    responses: { 200: answerOf("The enclave", INFO_SCHEMA) },
  },
  handlers: ({ info }) => [async (c) => c.json(await info(), 200)],
};
