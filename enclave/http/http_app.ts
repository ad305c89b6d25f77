import { type Context, Hono, type MiddlewareHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import { type RequestLog, RequestRecord } from "../telemetry/request_record.ts";
import { answerProblem, toProblem } from "./answer_problem.ts";
import type { HttpEnv } from "./http_env.ts";
import { outcomeOf, problem } from "./problem.ts";

/** CID recorded for a request that arrives without one. No policy can match it. */
const NO_CID = 0xffff_ffff;

/**
 * Makes an application without routes, which answers every failure with a problem document (RFC 9457), writes one line
 * of the log for each request, and lets nothing be cached.
 *
 * @param log Destination of request records
 */
export function createHttpApp(log: RequestLog): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.use(recordRequest(log));
  app.onError((error, c) => answerProblem(c, toProblem(error, c.var.record.id)));
  app.notFound((c) => answerProblem(c, problem(404, "ERR_NOT_FOUND", c.var.record.id)));
  return app;
}

/**
 * Answers 405 to other methods on the paths of an application. Called after its last route.
 *
 * @param app Application with its routes
 */
export function refuseOtherMethods(app: Hono<HttpEnv>): void {
  const routes = app.routes.filter(({ method }) => method !== "ALL");
  for (const [path, ofPath] of Map.groupBy(routes, ({ path }) => path)) {
    const allow = [...new Set(ofPath.map(({ method }) => method))].join(", ");
    app.all(path, (c) => {
      c.header("allow", allow);
      return answerProblem(c, problem(405, "ERR_METHOD_NOT_ALLOWED", c.var.record.id));
    });
  }
}

/**
 * Makes middleware that names what a route's requests ask for, in log and metrics.
 *
 * @param operation Name from `joinOperations`
 */
export function asOperation(operation: string): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    c.var.record.operation = operation;
    await next();
  };
}

function recordRequest(log: RequestLog): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const record = new RequestRecord("http", c.env?.cid ?? NO_CID, c.env?.gone, c.env?.connection);
    c.set("record", record);
    // Set before the handler runs: a header set on a finished response makes Hono copy it.
    c.header("x-request-id", record.id);
    c.header("cache-control", "no-store");
    await next();
    record.failure = c.error instanceof HTTPException ? undefined : c.error;
    record.finish(log, outcome(c), c.res.status);
  };
}

function outcome({ error, res }: Context<HttpEnv>): ReturnType<typeof outcomeOf> {
  if (error !== undefined && !(error instanceof HTTPException)) return outcomeOf(error);
  return res.status < 400 || res.status === 503 ? "ok" : "refused";
}
