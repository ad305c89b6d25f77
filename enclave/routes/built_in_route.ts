import type { Hono, MiddlewareHandler } from "hono";
import type { SecretReceipt } from "../../lib/wire/secret_receipt.ts";
import type { AttestedBoot, BootParts } from "../attest_boot.ts";
import type { SealedChannel } from "../channels/sealed.ts";
import { asOperation } from "../http/http_app.ts";
import type { HttpEnv } from "../http/http_env.ts";
import type { JsonObject } from "../json.ts";
import type { OpenApiDocument, OpenApiPart } from "../openapi.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { EnclaveInfo } from "../enclave_info.ts";

/** Parts that the built-in routes answer from. */
export interface RouteParts extends BootParts {
  /** Counters. */
  readonly metrics: Metrics;
  /** Finds out which parts are there, by name. */
  readonly readiness: () => Promise<Readonly<Record<string, boolean>>>;
  /** Makes the sentences about what works and should be looked after, for `/readyz`. Default: none. */
  readonly warnings?: (() => readonly string[]) | undefined;
  /** Describes the enclave. */
  readonly info: () => Promise<EnclaveInfo>;
  /** OpenAPI document of the application. */
  readonly document: OpenApiDocument;
  /** Makes the members that channels add to the answer of `GET /v1/attestation`, for keys by name. Default: none. */
  readonly attestationExtras?: ((keys: AttestedBoot["keys"]) => Readonly<Record<string, string>>) | undefined;
  /** Channel of sealed requests. Default: none are taken. */
  readonly sealed?: SealedChannel | undefined;
  /** Takes a secret that comes over a channel. Default: none is declared. */
  readonly takeSecret?: ((name: string, content: Uint8Array) => Promise<SecretReceipt>) | undefined;
  /** Ends the application in good order. */
  readonly shutDown: () => void;
}

/** Route of the base, told once: path, action, document and handlers. */
export interface BuiltInRoute {
  /** Name by which it is switched off. */
  readonly name: string;
  /** Method of its requests. */
  readonly method: "get" | "post";
  /** Paths; the first one is in the OpenAPI document. */
  readonly paths: readonly [string, ...string[]];
  /** Name in log and metrics; the action, if the policy is asked. */
  readonly operation: string;
  /** Operation in the OpenAPI document. */
  readonly document: JsonObject;
  /** Schemas that its document refers to. */
  readonly schemas?: JsonObject | undefined;
  /** Makes the handlers. A route without any is not there. */
  handlers(parts: RouteParts, app: Hono<HttpEnv>): readonly MiddlewareHandler<HttpEnv>[];
}

/**
 * Adds built-in routes to an application.
 *
 * @param app Application
 * @param routes Routes to add
 * @param parts Parts that they answer from
 */
export function addBuiltInRoutes(
  app: Hono<HttpEnv>,
  routes: readonly BuiltInRoute[],
  parts: RouteParts,
): void {
  for (const route of routes) {
    const handlers = route.handlers(parts, app);
    if (handlers.length > 0) {
      app.on(route.method, [...route.paths], asOperation(route.operation), ...handlers);
    }
  }
}

/**
 * Makes the part of built-in routes in the OpenAPI document.
 *
 * @param routes Routes
 */
export function documentOf(routes: readonly BuiltInRoute[]): OpenApiPart {
  return {
    paths: Object.fromEntries(
      routes.map(({ paths: [path], method, document }) => [path, { [method]: document }]),
    ),
    schemas: Object.assign({}, ...routes.map(({ schemas = {} }) => schemas)) as JsonObject,
  };
}
