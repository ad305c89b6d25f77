import { type Context, Hono, type MiddlewareHandler } from "hono";
import type { RequestFacts } from "../lib/core/request_facts.ts";
import type { EnclaveEnv } from "./enclave_env.ts";

/**
 * Makes an application for the enclave: a Hono application whose handlers find in `c.var` what `startEnclave()` puts
 * there. Any other `Hono<EnclaveEnv>` does as well.
 *
 * @example
 * ```ts
 * import { enclaveApp } from "enclave-kms/enclave";
 *
 * const app = enclaveApp().get("/v1/channel", (c) => c.json({ channel: c.var.channel }));
 * app.routes.length; // 1
 * ```
 */
export function enclaveApp(): Hono<EnclaveEnv> {
  return new Hono<EnclaveEnv>();
}

/** Makes the facts of a request for the policy, from what the request itself says. */
export type FactsOf = (c: Context<EnclaveEnv>) => RequestFacts | Promise<RequestFacts>;

/**
 * Makes middleware that lets a request of the application's own route pass if the policy permits it, and refuses others
 * with 403. The log and the metrics name the request by its action. Without a policy file everything is refused.
 *
 * @param action Action that `startEnclave()` was told of, such as `SignOrder`
 * @param factsOf Makes the facts of the request. Default: none beside the caller, the time and the enclave's own
 * @example
 * ```ts
 * import { enclaveApp, gate } from "enclave-kms/enclave";
 *
 * const app = enclaveApp().post("/v1/orders/sign", gate("SignOrder"), (c) => c.json({ signed: true }));
 * app.routes.length; // 2
 * ```
 */
export function gate(action: string, factsOf?: FactsOf): MiddlewareHandler<EnclaveEnv> {
  const middleware: MiddlewareHandler<EnclaveEnv> = async (c, next) => {
    c.var.record.operation = action;
    const facts = await factsOf?.(c);
    c.var.askPolicy(action, facts);
    await next();
  };
  gatedActions.set(middleware, action);
  return middleware;
}

/** Actions by the middleware that asks about them. */
const gatedActions = new WeakMap<object, string>();

/**
 * Checks an application before it is served: a gate that nobody can pass is a mistake.
 *
 * @param app Application that `startEnclave()` was given
 * @param actions Actions that the policy is loaded for
 * @throws {TypeError} When it is no Hono application, or a gate of it asks about an action that is not declared
 */
export function checkApplication(app: Hono<EnclaveEnv>, actions: readonly string[]): void {
  if (typeof app?.fetch !== "function" || !Array.isArray(app.routes)) {
    throw new TypeError("The application must be one of Hono, such as enclaveApp() makes");
  }
  for (const { handler, path } of app.routes) {
    const action = gatedActions.get(handler);
    if (action === undefined || actions.includes(action)) continue;
    throw new TypeError(
      `Cannot start the enclave: the gate of ${path} asks about ${JSON.stringify(action)}, ` +
        "which is not declared: name it in `actions`",
    );
  }
}
