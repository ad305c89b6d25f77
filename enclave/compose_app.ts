import type { Context, Hono } from "hono";
import type { SecretBytes } from "../lib/core/secret_bytes.ts";
import type { CheckedOptions } from "./enclave_options.ts";
import type { EnclaveEnv } from "./enclave_env.ts";
import { createHttpApp, refuseOtherMethods } from "./http/http_app.ts";
import { OPEN_GATE } from "./gate.ts";
import { KmsService } from "./kms_service.ts";
import { joinOpenApi, type OpenApiDocument } from "./openapi.ts";
import { addBuiltInRoutes, type BuiltInRoute, documentOf, type RouteParts } from "./routes/built_in_route.ts";
import { CONTROL_ROUTES } from "./routes/built_in_routes.ts";
import type { EnclaveRuntime } from "./runtime.ts";

/** Parts that an application is composed with. */
export interface ComposeParts {
  /** Log, gate, KMS and NSM. */
  readonly runtime: EnclaveRuntime;
  /** Options of `startEnclave()`. */
  readonly options: CheckedOptions;
  /** Parts that the built-in routes answer from. */
  readonly routeParts: RouteParts;
  /** Secrets of the application, by name. */
  readonly secrets: ReadonlyMap<string, SecretBytes>;
}

/**
 * Composes what an ordinary listener serves: record and log, the built-in routes, the values of `c.var`, and the
 * application's own routes.
 *
 * @param app Application
 * @param parts Parts that it is composed with
 * @throws {TypeError} When the application has a route that is built in, or belongs to the control listener
 */
export function composeApp(
  app: Hono<EnclaveEnv>,
  { runtime, options, routeParts, secrets }: ComposeParts,
): Hono<EnclaveEnv> {
  refuseClashes(app, options.routes);
  const { gate, service, bootKeys } = runtime;
  const { region } = service.scope;
  const { isUngated, unattestedKmsKey } = options;
  const kms = { service, bootKeys, gate: isUngated ? OPEN_GATE : gate, unattestedKmsKey };
  const base = createHttpApp(runtime.requestLog, runtime.tokens, (context, record) => {
    const c = context as unknown as Context<EnclaveEnv>;
    c.set("caller", record.principal);
    c.set("kms", new KmsService(kms, record));
    c.set("channel", c.env.channel ?? "clear");
    c.set("requestDigest", c.env.requestDigest);
    c.set("traceparent", record.traceparent);
    c.set("secrets", secrets);
    c.set("askPolicy", (action, facts) => void gate.check({ action, region, facts }, record));
  });
  addBuiltInRoutes(base, options.routes, routeParts);
  const composed = base as unknown as Hono<EnclaveEnv>;
  composed.route("/", app);
  refuseOtherMethods(base);
  return composed;
}

/**
 * Joins the OpenAPI document of the built-in routes and the application's own.
 *
 * @param options Options of `startEnclave()`
 * @throws {TypeError} When both have an operation or a schema
 */
export function documentEnclave({ name, routes, openapi }: CheckedOptions): OpenApiDocument {
  const { info = { title: name, version: "1" }, ...part } = openapi;
  return joinOpenApi(info, [documentOf(routes), part]);
}

function refuseClashes(app: Hono<EnclaveEnv>, routes: readonly BuiltInRoute[]): void {
  const has = ({ method, paths }: BuiltInRoute) =>
    app.routes.some((own) => own.method === method.toUpperCase() && paths.includes(own.path));
  const builtIn = routes.find(has);
  if (builtIn !== undefined) {
    throw new TypeError(
      `Cannot start the enclave: the application has a route ${builtIn.paths[0]} of its own: ` +
        `switch the built-in one off, by routes: { ${builtIn.name}: false }`,
    );
  }
  const control = CONTROL_ROUTES.find(has);
  if (control === undefined) return;
  throw new TypeError(`Cannot start the enclave: ${control.paths[0]} belongs to the control listener alone`);
}
