import type { TypedResponse } from "hono";
import type { ToSchema } from "hono/types";
import { answerOf, type OpenApiDocument } from "../openapi.ts";
import type { BuiltInRoute } from "./built_in_route.ts";

/** Types of `GET /openapi.json`, for Hono's typed client. */
export type OpenApiSchema = ToSchema<
  "get",
  "/openapi.json",
  Record<never, never>,
  TypedResponse<OpenApiDocument, 200, "json">
>;

/** Route of the OpenAPI document. */
export const OPENAPI: BuiltInRoute = {
  name: "openapi",
  method: "get",
  paths: ["/openapi.json"],
  operation: "OpenApi",
  document: {
    operationId: "openapi",
    summary: "This document",
    responses: { 200: answerOf("OpenAPI 3.1", { type: "object" }) },
  },
  handlers: ({ document }) => {
    const text = JSON.stringify(document);
    return [
      async (c) => await Promise.resolve(c.body(text, 200, { "content-type": "application/json" })),
    ];
  },
};
