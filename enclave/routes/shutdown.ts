import type { TypedResponse } from "hono";
import type { ToSchema } from "hono/types";
import type { BuiltInRoute } from "./built_in_route.ts";

/** Types of `POST /v1/shutdown`, for Hono's typed client. */
export type ShutdownSchema = ToSchema<
  "post",
  "/v1/shutdown",
  Record<never, never>,
  TypedResponse<null, 202, "body">
>;

/** Route that ends the application in good order: it finishes what runs, wipes credentials and keys, and ends. */
export const SHUTDOWN: BuiltInRoute = {
  name: "shutdown",
  method: "post",
  paths: ["/v1/shutdown"],
  operation: "Shutdown",
  document: {
    operationId: "shutdown",
    summary: "Finishes what runs, wipes credentials and keys, and ends; on the control listener only",
    responses: { 202: { description: "It ends" } },
  },
  handlers: ({ shutDown }) => [async (c) => {
    shutDown();
    return await Promise.resolve(c.body(null, 202));
  }],
};
