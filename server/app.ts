/**
 * The HTTP side of the decrypt server: its routes, on an application of the base.
 *
 * @module
 */
import type { Context, Hono } from "hono";
import { validator } from "hono/validator";
import type { TokenParts } from "../enclave/callers/identify_caller.ts";
import { OPERATIONS } from "../lib/kms/operations/operations.ts";
import { requireChannel } from "../enclave/channels/require_channel.ts";
import { asOperation, createHttpApp, refuseOtherMethods } from "../enclave/http/http_app.ts";
import type { HttpEnv } from "../enclave/http/http_env.ts";
import { JSON_BODY } from "../enclave/http/json_body.ts";
import { secretAnswer } from "../enclave/http/secret_answer.ts";
import { parse } from "../enclave/parse.ts";
import { addBuiltInRoutes, type RouteParts } from "../enclave/routes/built_in_route.ts";
import { type ControlSchema, PUBLIC_ROUTES, type PublicSchema } from "../enclave/routes/built_in_routes.ts";
import { CREDENTIALS } from "../enclave/routes/credentials.ts";
import type { EnclaveService } from "../enclave/service.ts";
import type { RequestLog } from "../enclave/telemetry/request_record.ts";
import type { AnyKmsRoute } from "./kms_route.ts";
import { KMS_ROUTES, type KmsSchema } from "./kms_routes.ts";

/** Parts of the application. */
export interface AppParts extends RequestLog, RouteParts {
  /** Judge of tokens. Default: none are looked at. */
  readonly tokens?: TokenParts | undefined;
  /**
   * Callers that may set credentials: the parent alone, on the control listener, or those that the policy permits, here.
   * Default: `parent`.
   */
  readonly credentialSetters?: "parent" | "policy" | undefined;
  /**
   * Channels over which the routes answer that have secrets in their answers: those that the parent cannot read, or any.
   * Default: `any`.
   */
  readonly answers?: "sealed" | "any" | undefined;
}

/** Routes with their types, for Hono's typed client: `hc<AppType>("http://enclave")`. */
export type AppType = Hono<HttpEnv, KmsSchema & PublicSchema>;

/** Routes of the control listener with their types, for Hono's typed client. */
export type ControlType = Hono<HttpEnv, ControlSchema>;

/**
 * Makes the HTTP side of the server, without a socket.
 *
 * @param parts Service, log and metrics
 */
export function createApp(parts: AppParts): AppType {
  const app = createHttpApp(parts, parts.tokens);
  addKmsRoutes(app, parts);
  addBuiltInRoutes(
    app,
    parts.credentialSetters === "policy" ? [...PUBLIC_ROUTES, CREDENTIALS] : PUBLIC_ROUTES,
    parts,
  );
  refuseOtherMethods(app);
  return app as unknown as AppType;
}

function addKmsRoutes(app: Hono<HttpEnv>, { service, answers = "any" }: AppParts): void {
  const inPrivate = requireChannel("sealed", "tls");
  for (const route of KMS_ROUTES as unknown as readonly AnyKmsRoute[]) {
    const { path, operation, body } = route;
    const { action, attested: isSecret } = OPERATIONS[operation];
    app.post(path, asOperation(action));
    if (answers === "sealed" && isSecret) app.post(path, inPrivate);
    app.post(path, ...JSON_BODY, json((input) => parse<object>(body, input)), async (c) => {
      const { dryRun, ...request } = c.req.valid("json") as { dryRun?: boolean };
      if (dryRun === true) {
        await service.dryRun(operation as "decrypt", request as never, service.scope, c.var.record);
        return c.body(null, 204);
      }
      return await answerKms(c, service, route, request);
    });
  }
}

/** Runs an operation and answers with its result, which is wiped. */
async function answerKms(
  c: Context<HttpEnv>,
  service: EnclaveService,
  route: AnyKmsRoute,
  request: object,
): Promise<Response> {
  // The table holds a route's operation and its answer together; one of them stands for all here.
  const { operation, answer } = route as AnyKmsRoute & { operation: "decrypt" };
  const result = await service.run(operation, request as never, service.scope, c.var.record);
  using _secrets = Symbol.dispose in result ? result : undefined;
  const { secret, rest } = answer(result);
  if (secret === undefined) return c.json(rest, 200);
  return secretAnswer<Record<string, string>>(c, secret, rest) as unknown as Response;
}

const json = <T>(parseBody: (input: unknown) => T) => validator("json", (input) => parseBody(input));
