import type { Hono } from "hono";
import { PARENT_CID } from "../lib/core/endpoint.ts";
import { createHttpApp, refuseOtherMethods } from "./http/http_app.ts";
import type { HttpEnv } from "./http/http_env.ts";
import { addBuiltInRoutes, type RouteParts } from "./routes/built_in_route.ts";
import { CONTROL_ROUTES, type ControlSchema } from "./routes/built_in_routes.ts";
import type { ConnectionHandler } from "./serve.ts";
import type { RequestLog } from "./telemetry/request_record.ts";

/** Binding of requests that came over the control listener. */
export const CONTROL = { isControl: true } as const;

/**
 * Makes the application of the control listener: what only the parent may do. No other listener has its routes, because
 * whoever comes through a bridge on the parent has the parent's CID as well.
 *
 * @param log Destination of request records
 * @param parts Parts that the routes answer from
 */
export function createControlApp(log: RequestLog, parts: RouteParts): Hono<HttpEnv, ControlSchema> {
  const app = createHttpApp(log);
  addBuiltInRoutes(app, CONTROL_ROUTES, parts);
  refuseOtherMethods(app);
  return app as unknown as Hono<HttpEnv, ControlSchema>;
}

/**
 * Closes connections from every CID but the parent's unheard.
 *
 * @param handler Handler of the parent's connections
 */
export function fromParentOnly(handler: ConnectionHandler): ConnectionHandler {
  return {
    accept: (stream, cid) => cid === PARENT_CID ? handler.accept(stream, cid) : void stream.destroy(),
    giveWay: () => handler.giveWay(),
    close: (graceMs) => handler.close(graceMs),
  };
}
