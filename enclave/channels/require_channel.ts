import type { MiddlewareHandler } from "hono";
import { answerProblem } from "../http/answer_problem.ts";
import type { Channel, HttpEnv } from "../http/http_env.ts";
import { problem } from "../http/problem.ts";

/**
 * Makes middleware that lets requests pass which came over one of some channels, and refuses others with 403
 * `ERR_CHANNEL`, before their bodies are read.
 *
 * What was sent in the clear was seen by the parent all the same: it protects the answer, and callers who try it out.
 *
 * @param channels At least one channel
 * @throws {TypeError} When there is none, or one that is not known
 * @example
 * ```ts
 * import { enclaveApp, requireChannel } from "enclave-kms/enclave";
 *
 * const app = enclaveApp()
 *   .get("/v1/seed", requireChannel("sealed", "tls"), (c) => c.text("for the caller only"));
 * app.routes.length; // 2
 * ```
 */
export function requireChannel(...channels: readonly Channel[]): MiddlewareHandler<HttpEnv> {
  const isKnown = (channel: unknown) => KNOWN.some((known) => known === channel);
  if (channels.length === 0 || !channels.every(isKnown)) {
    throw new TypeError(`channels must be one or more of ${KNOWN.join(", ")}`);
  }
  return async (c, next) => {
    if (channels.includes(c.env?.channel ?? "clear")) return await next();
    return answerProblem(c, problem(403, "ERR_CHANNEL", c.var.record.id));
  };
}

const KNOWN: readonly Channel[] = ["clear", "tls", "sealed"];
