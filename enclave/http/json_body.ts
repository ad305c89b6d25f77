import type { MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";
import { answerProblem } from "./answer_problem.ts";
import type { HttpEnv } from "./http_env.ts";
import { findMediaProblem } from "./media.ts";
import { problem } from "./problem.ts";
import { MAX_BODY_BYTES } from "./request_body.ts";

/** Middleware that lets requests with a JSON body of at most 64 KiB pass, and refuses others with 413 or 415. */
export const JSON_BODY: readonly [MiddlewareHandler<HttpEnv>, MiddlewareHandler<HttpEnv>] = [
  async (c, next) => {
    const wrong = findMediaProblem((name) => c.req.header(name));
    if (wrong === undefined) return await next();
    if (wrong.path === "content-encoding") c.header("accept-encoding", "identity");
    return answerProblem(c, problem(415, "ERR_MEDIA_TYPE", c.var.record.id, [wrong]));
  },
  // A request that is asked for its body as a stream makes the listener build the runtime's own `Request`.
  async (c, next) => c.env?.hasWholeBody === true ? await next() : await limitBody(c, next),
];

const limitBody = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: () => {
    throw new HTTPException(413);
  },
});
