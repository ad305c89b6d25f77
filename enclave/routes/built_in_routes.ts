/**
 * The built-in routes: those of every listener, and those of the control listener, which only the parent reaches.
 *
 * @module
 */
import { ATTESTATION, type AttestationSchema } from "./attestation.ts";
import type { BuiltInRoute } from "./built_in_route.ts";
import { CREDENTIALS, type CredentialsSchema } from "./credentials.ts";
import { HEALTH, type HealthSchema } from "./health.ts";
import { INFO, type InfoSchema } from "./info.ts";
import { METRICS, type MetricsSchema } from "./metrics.ts";
import { OPENAPI, type OpenApiSchema } from "./openapi.ts";
import { READY, type ReadySchema } from "./ready.ts";
import { SEALED } from "./sealed.ts";
import { SHUTDOWN, type ShutdownSchema } from "./shutdown.ts";

/** Names of the built-in routes that can be switched off. */
export const ROUTE_NAMES = [
  "health",
  "ready",
  "metrics",
  "info",
  "attestation",
  "openapi",
  "sealed",
] as const;

/** Name of a built-in route that can be switched off. */
export type RouteName = typeof ROUTE_NAMES[number];

/** Routes of every listener. */
export const PUBLIC_ROUTES: readonly BuiltInRoute[] = [
  HEALTH,
  READY,
  METRICS,
  INFO,
  ATTESTATION,
  OPENAPI,
  SEALED,
];

/** Routes of the control listener. */
export const CONTROL_ROUTES: readonly BuiltInRoute[] = [CREDENTIALS, SHUTDOWN];

/** Types of the routes of every listener, for Hono's typed client. */
export type PublicSchema =
  & HealthSchema
  & ReadySchema
  & MetricsSchema
  & InfoSchema
  & AttestationSchema
  & OpenApiSchema;

/** Types of the routes of the control listener, for Hono's typed client. */
export type ControlSchema = CredentialsSchema & ShutdownSchema;
