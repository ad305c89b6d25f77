import { PARENT_CID } from "../lib/core/endpoint.ts";
import type { BaseConfig } from "./base_config.ts";
import { DEFAULT_HTTP_TIMEOUTS, type HttpTimeouts } from "./http/http_listener.ts";
import type { ServeLimits } from "./serve.ts";

/** Milliseconds after the request deadline when an answer is cut off. */
const ANSWER_MARGIN_MS = 10_000;

/** Most connections of the control listener. */
const MAX_CONTROL_CONNECTIONS = 16;

/**
 * Chooses the time-outs of HTTP connections.
 *
 * @param config Settings after every check
 */
export function httpTimeouts({ idleTimeoutMs, requestTimeoutMs }: BaseConfig): HttpTimeouts {
  return { ...DEFAULT_HTTP_TIMEOUTS, idleMs: idleTimeoutMs, answerMs: requestTimeoutMs + ANSWER_MARGIN_MS };
}

/**
 * Chooses the limits on the connections of a listener.
 *
 * @param config Settings after every check
 */
export function serveLimits(
  { maxConnections, idleTimeoutMs, requestTimeoutMs, developmentCid }: BaseConfig,
): ServeLimits {
  const quietMs = Math.max(idleTimeoutMs, requestTimeoutMs) + ANSWER_MARGIN_MS;
  return { maxConnections, quietMs, developmentCid };
}

/**
 * Chooses the limits of the control listener, where whoever connects over a unix socket is the parent.
 *
 * @param config Settings after every check
 */
export function controlLimits(config: BaseConfig): ServeLimits {
  return { ...serveLimits(config), maxConnections: MAX_CONTROL_CONNECTIONS, developmentCid: PARENT_CID };
}
