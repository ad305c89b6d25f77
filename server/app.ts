/**
 * The HTTP side of the decrypt server: its routes, on an application of the base.
 *
 * @module
 */
import type { Context, Hono } from "hono";
import { validator } from "hono/validator";
import { encodeBase64 } from "../lib/core/encoding.ts";
import { OPERATIONS } from "../lib/kms/operations/operations.ts";
import { asOperation, createHttpApp, refuseOtherMethods } from "../enclave/http/http_app.ts";
import type { HttpEnv } from "../enclave/http/http_env.ts";
import { JSON_BODY } from "../enclave/http/json_body.ts";
import { secretAnswer } from "../enclave/http/secret_answer.ts";
import { parse } from "../enclave/parse.ts";
import type { EnclaveService, Readiness } from "../enclave/service.ts";
import type { Metrics } from "../enclave/telemetry/metrics.ts";
import type { RequestLog } from "../enclave/telemetry/request_record.ts";
import { type AnyKmsRoute, KMS_ROUTES, type KmsSchema } from "./kms_routes.ts";
import { OPENAPI_DOCUMENT, type OpenApiDocument } from "./openapi.ts";
import { attestationQuery, decodeNonce, parseCredentials } from "./schemas.ts";

/** Parts of the application. */
export interface AppParts extends RequestLog {
  /** Does the work. */
  readonly service: EnclaveService;
}

/** Routes with their types, for Hono's typed client: `hc<AppType>("http://enclave")`. */
export type AppType = ReturnType<typeof addOwnRoutes>;

/**
 * Makes the HTTP side of the server, without a socket.
 *
 * @param parts Service, log and metrics
 */
export function createApp(parts: AppParts): AppType {
  const app = createHttpApp(parts);
  const routes = addOwnRoutes(addKmsRoutes(app, parts.service), parts.service, parts.metrics);
  refuseOtherMethods(app);
  return routes;
}

function addKmsRoutes(app: Hono<HttpEnv>, service: EnclaveService): Hono<HttpEnv, KmsSchema> {
  for (const route of KMS_ROUTES as unknown as readonly AnyKmsRoute[]) {
    const { path, operation, body } = route;
    const action = asOperation(OPERATIONS[operation].action);
    app.post(path, action, ...JSON_BODY, json((input) => parse(body, input)), async (c) => {
      const { dryRun, ...request } = c.req.valid("json") as { dryRun?: boolean };
      if (dryRun === true) {
        await service.dryRun(operation as "decrypt", request as never, service.scope, c.var.record);
        return c.body(null, 204);
      }
      return await answerKms(c, service, route, request);
    });
  }
  return app as unknown as Hono<HttpEnv, KmsSchema>;
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

// No return type: Hono's client gets its types from what is inferred here.
function addOwnRoutes(app: Hono<HttpEnv, KmsSchema>, service: EnclaveService, metrics: Metrics) {
  return app
    .post("/v1/credentials", asOperation("SetCredentials"), ...JSON_BODY, json(parseCredentials), (c) => {
      const { region, credentials } = service.scope;
      const { record } = c.var;
      credentials.set(service.acceptCredentials("SetCredentials", c.req.valid("json"), region, record));
      return c.body(null, 204);
    })
    .get(
      "/v1/attestation",
      asOperation("GetAttestation"),
      validator("query", (query) => parse(attestationQuery, query)),
      async (c) => {
        const nonce = decodeNonce(c.req.valid("query"));
        return c.json({ document: encodeBase64(await service.attest(nonce, c.var.record)) }, 200);
      },
    )
    .get("/healthz", asOperation("Health"), (c) => c.json({ status: "ok" }, 200))
    .get("/readyz", asOperation("Ready"), async (c) => {
      const ready: Readiness = await service.readiness();
      return c.json(ready, Object.values(ready).every(Boolean) ? 200 : 503);
    })
    .get("/metrics", asOperation("Metrics"), (c) => {
      return c.text(metrics.render(), 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
    })
    .get("/openapi.json", asOperation("OpenApi"), (c) => c.json<OpenApiDocument, 200>(OPENAPI_DOCUMENT, 200));
}

const json = <T>(parseBody: (input: unknown) => T) => validator("json", (input) => parseBody(input));
