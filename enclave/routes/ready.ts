import type { TypedResponse } from "hono";
import type { ToSchema } from "hono/types";
import { answerOf } from "../openapi.ts";
import type { JsonObject } from "../json.ts";
import type { BuiltInRoute } from "./built_in_route.ts";

/** Types of `GET /readyz`, for Hono's typed client. */
export type ReadySchema = ToSchema<
  "get",
  "/readyz",
  Record<never, never>,
  TypedResponse<ReadyAnswer, 200 | 503, "json">
>;

/** Parts by name, and whether each is there. Those that the application does not need are left out. */
export interface ReadyAnswer {
  /** The engine and its library. */
  readonly library?: boolean;
  /** The Nitro Secure Module answers. */
  readonly nsm: boolean;
  /** Credentials are set, and KMS has not refused them. */
  readonly credentials?: boolean;
  /** A policy is loaded. */
  readonly policy?: boolean;
  /** Sentences about what works and should be looked after, such as what is permitted and dangerous. */
  readonly warnings?: readonly string[];
  /** Further parts: `clock` where tokens are taken, declared secrets, and those of the application's own. */
  readonly [part: string]: boolean | readonly string[] | undefined;
}

const PARTS: JsonObject = {
  type: "object",
  properties: {
    library: { type: "boolean" },
    nsm: { type: "boolean" },
    credentials: { type: "boolean" },
    policy: { type: "boolean" },
    warnings: { type: "array", items: { type: "string" }, description: "What should be looked after" },
    clock: {
      type: "boolean",
      description: "KMS has told the time; only where tokens or certificates are taken",
    },
  },
  required: ["nsm"],
  additionalProperties: { type: "boolean" },
};

/** Route that names the parts that must be there before the application can work, and says which are missing. */
export const READY: BuiltInRoute = {
  name: "ready",
  method: "get",
  paths: ["/readyz"],
  operation: "Ready",
  document: {
    operationId: "readiness",
    summary: "Whether all that it needs is there",
    responses: { 200: answerOf("It is", PARTS), 503: answerOf("Something is missing", PARTS) },
  },
  handlers: ({ readiness, warnings: warn = () => [] }) => [async (c) => {
    const ready = await readiness();
    const warnings = warn();
    const answer = { ...ready, ...(warnings.length > 0 && { warnings }) };
    return c.json(answer, Object.values(ready).every(Boolean) ? 200 : 503);
  }],
};
