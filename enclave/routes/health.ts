import type { TypedResponse } from "hono";
import type { ToSchema } from "hono/types";
import { answerOf, objectSchema } from "../openapi.ts";
import type { BuiltInRoute } from "./built_in_route.ts";

/** Types of `GET /healthz`, for Hono's typed client. */
export type HealthSchema = ToSchema<
  "get",
  "/healthz",
  Record<never, never>,
  TypedResponse<{ status: string }, 200, "json">
>;

/** Route that answers while the process runs. */
export const HEALTH: BuiltInRoute = {
  name: "health",
  method: "get",
  paths: ["/healthz"],
  operation: "Health",
  document: {
    operationId: "health",
    summary: "Whether the process runs",
    responses: { 200: answerOf("It does", objectSchema({ status: { type: "string" } })) },
  },
  handlers: () => [async (c) => await Promise.resolve(c.json({ status: "ok" }, 200))],
};
