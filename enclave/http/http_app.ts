import { type Context, Hono, type MiddlewareHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import { type RequestLog, RequestRecord } from "../telemetry/request_record.ts";
import { identifyCaller, type TokenParts } from "../callers/identify_caller.ts";
import { answerProblem, toProblem } from "./answer_problem.ts";
import type { HttpEnv } from "./http_env.ts";
import { outcomeOf, problem } from "./problem.ts";

/** CID recorded for a request that arrives without one. No policy can match it. */
export const NO_CID = 0xffff_ffff;

/** Sets values of the application's own for its handlers. */
export type PrepareRequest = (c: Context<HttpEnv>, record: RequestRecord) => void;

/**
 * Makes an application without routes, which answers every failure with a problem document (RFC 9457), writes one line
 * of the log for each request, tells who calls, and lets nothing be cached.
 *
 * @param log Destination of request records
 * @param tokens Judge of tokens. Default: none are looked at
 * @param prepare Called for each request, once it is known who calls. Default: nothing
 */
export function createHttpApp(log: RequestLog, tokens?: TokenParts, prepare?: PrepareRequest): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  // One function for all of it: each that a request passes through costs about as much as its route.
  app.use(recordRequest(log, (c, record) => begin(c, record, tokens, prepare)));
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

type Begin = (c: Context<HttpEnv>, record: RequestRecord) => Promise<void> | undefined;

function recordRequest(log: RequestLog, begin: Begin): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const record = c.env?.record ?? new RequestRecord("http", c.env?.cid ?? NO_CID, c.env, c.env?.connection);
    c.set("record", record);
    record.continueTrace(c.req.header("traceparent"));
    addHeaders(c, record.id);
    try {
      const begun = begin(c, record);
      if (begun !== undefined) await begun;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      c.error = error;
      c.res = answerProblem(c, toProblem(error, record.id));
      return finish(c, record, log);
    }
    await next();
    finish(c, record, log);
  };
}

function addHeaders(c: Context<HttpEnv>, id: string): void {
  // Left to the listener, for headers in the context make Hono build the runtime's own `Headers`.
  const added = c.env?.addedLines;
  if (added !== undefined) return void added.push("x-request-id", id, "cache-control", "no-store");
  // Set before the handler runs: a header set on a finished response makes Hono copy it.
  c.header("x-request-id", id);
  c.header("cache-control", "no-store");
}

/** Finds out who calls, which takes a promise only where a token is judged. */
function begin(
  c: Context<HttpEnv>,
  record: RequestRecord,
  tokens: TokenParts | undefined,
  prepare: PrepareRequest | undefined,
): Promise<void> | undefined {
  const principal = identifyCaller(c, tokens);
  if (principal instanceof Promise) {
    return principal.then((proved) => {
      record.principal = proved;
      prepare?.(c, record);
    });
  }
  if (principal !== undefined) record.principal = principal;
  prepare?.(c, record);
  return undefined;
}

function finish(c: Context<HttpEnv>, record: RequestRecord, log: RequestLog): void {
  if (c.req.method === "HEAD") discardBody(c.res);
  const failure = c.error instanceof HTTPException ? undefined : c.error;
  record.failure = failure ?? record.failure;
  // One that came sealed has ended when its answer is sealed: the request that carries it says how.
  if (c.env?.record !== undefined) return;
  const status = c.error === undefined ? record.sealedStatus ?? c.res.status : c.res.status;
  record.finish(log, outcome(record.failure, status), status);
}

/** Ends a body that Hono drops: what it holds is wiped, and what makes it stops. */
function discardBody({ body }: Response): void {
  if (body?.locked === false) body.cancel().catch(() => {});
}

function outcome(error: unknown, status: number): ReturnType<typeof outcomeOf> {
  if (error !== undefined) return outcomeOf(error);
  return status < 400 || status === 503 ? "ok" : "refused";
}
