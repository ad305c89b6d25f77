import type { TypedResponse } from "hono";
import type { ToSchema } from "hono/types";
import { answerOf } from "../openapi.ts";
import type { BuiltInRoute } from "./built_in_route.ts";

/** Types of `GET /metrics`, for Hono's typed client. */
export type MetricsSchema = ToSchema<
  "get",
  "/metrics",
  Record<never, never>,
  TypedResponse<string, 200, "text">
>;

const TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Route of the counters, in Prometheus's text format. */
export const METRICS: BuiltInRoute = {
  name: "metrics",
  method: "get",
  paths: ["/metrics"],
  operation: "Metrics",
  document: {
    operationId: "metrics",
    summary: "Counters for Prometheus",
    responses: { 200: answerOf("Counters", { type: "string" }, "text/plain") },
  },
  handlers: ({ metrics }) => [
    async (c) => await Promise.resolve(c.text(metrics.render(), 200, { "content-type": TYPE })),
  ],
};
