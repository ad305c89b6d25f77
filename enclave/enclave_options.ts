import process from "node:process";
import { checkFields, checkText } from "../lib/core/checks.ts";
import type { SignatureAlgorithm } from "../lib/attestation/signature_message.ts";
import { checkKeyId } from "../lib/kms/operations/request_fields.ts";
import type { AttributeTypes } from "../lib/policy/attributes.ts";
import { joinActions } from "./actions.ts";
import { ApplicationSettings } from "./application_settings.ts";
import { type ApplicationDocument, checkDocument, type GeneratedDocument } from "./application_document.ts";
import { checkIngresses, type IngressDeclaration } from "./ingresses.ts";
import { ALL_NEEDS, type ApplicationReadiness, type Need } from "./readiness.ts";
import type { BuiltInRoute } from "./routes/built_in_route.ts";
import { HASH } from "./routes/hash.ts";
import { SECRET } from "./routes/secret.ts";
import { PAGE } from "./routes/page.ts";
import { signRoute } from "./routes/sign.ts";
import { PUBLIC_ROUTES, ROUTE_NAMES, type RouteName } from "./routes/built_in_routes.ts";
import type { RuntimeParts } from "./runtime_options.ts";
import type { SecretDeclaration } from "./secrets/declarations.ts";
import type { Environment } from "./settings.ts";

/** Declaration of an application: its name, and what its policy knows of it. Everything but the name has a default. */
export interface EnclaveOptions extends RuntimeParts {
  /** Name of the application, for the log and `GET /v1/info`: 1 to 64 characters. */
  readonly name: string;
  /** Actions of the application's own that its policy is asked about, such as `SignOrder`. Default: none. */
  readonly actions?: readonly string[] | undefined;
  /** Attributes of callers in the policy's schema. Default: those of `cedarSchema()`. */
  readonly attributes?: AttributeTypes | undefined;
  /** Claims of tokens that the policy sees, with their types. Default: none. */
  readonly claims?: AttributeTypes | undefined;
  /** Algorithm of the key that the enclave signs with. Default: `ES256`. */
  readonly signatureAlgorithm?: SignatureAlgorithm | undefined;
  /**
   * Whether calls of `c.var.kms` do without the policy, so that the application's own routes are all that guards the keys.
   * The log says so at the start. Default: false.
   */
  readonly ungated?: boolean | undefined;
  /**
   * Needs of the application, without which `GET /readyz` is 503: `kms` for an engine and credentials, and `policy`. An
   * application that keeps no key in KMS leaves out `kms`; one that asks nothing of a policy leaves out `policy`, and then
   * what is gated is refused all the same while there is none. Default: `["kms"]` for an application that is `ungated` and
   * has no actions of its own, and otherwise both.
   */
  readonly needs?: readonly Need[] | undefined;
  /**
   * Tells at each `GET /readyz` which parts of the application's own are there. Those of the base keep their names.
   * Default: there are none.
   */
  readonly readiness?: (() => ApplicationReadiness) | undefined;
  /**
   * Key of KMS on P-256 that `signData()` may sign with when it is told to: key id, key ARN, alias name or alias ARN.
   * Nothing about it is attested: whoever holds the role, such as the parent, signs with it without the enclave. The log
   * says so at the start. Default: none, and `signData()` signs with the key of this boot only.
   */
  readonly unattestedKmsKey?: string | undefined;
  /**
   * Secrets that the start waits for, and hands over in `c.var.secrets`: see `kmsSecret()`, `ageSecret()`, `sharesOf()` and
   * `sealedSecret()`. Default: none.
   */
  readonly secrets?: readonly SecretDeclaration[] | undefined;
  /** Built-in routes to switch off, such as `{ metrics: false }`, and those to switch on. Default: all but these are on. */
  readonly routes?: RouteOptions | undefined;
  /**
   * Ways from vsock ports to servers of the application's own on 127.0.0.1, such as one of gRPC, with attested TLS before
   * them or without. They open after the application's own listeners, and close with them. At most 64. Default: none.
   */
  readonly ingresses?: readonly IngressDeclaration[] | undefined;
  /**
   * OpenAPI document of the application's own routes, which is joined with that of the built-in ones: its parts, or a whole
   * one such as `generateSpecs()` of the package `hono-openapi` makes. Default: none.
   */
  readonly openapi?: ApplicationDocument | GeneratedDocument | undefined;
  /** Settings of the application's own, which `declareSettings()` has made. Default: none. */
  readonly settings?: ApplicationSettings<object> | undefined;
  /** Environment that the settings are read from. Default: the process's. */
  readonly environment?: Environment | undefined;
  /** Whether SIGTERM and SIGINT end the enclave, and SIGHUP loads the policy again. Default: true. */
  readonly signals?: boolean | undefined;
}

/** Switches of the built-in routes. */
export interface RouteOptions extends Readonly<Partial<Record<RouteName, boolean | undefined>>> {
  /**
   * Purpose of the signatures of `POST /v1/sign`, which signs callers' data with the key of this boot. It must not be one
   * that the application signs its own data for. Default: there is no such route.
   */
  readonly sign?: { readonly purpose: string } | undefined;
  /** Whether `POST /v1/hash` hashes callers' data. Default: false. */
  readonly hash?: boolean | undefined;
  /** Whether `GET /openapi.html` shows the OpenAPI document as a page, without a script. Default: false. */
  readonly page?: boolean | undefined;
}

/** Options after every check. */
export interface CheckedOptions {
  readonly name: string;
  readonly actions: readonly string[];
  readonly attributes: AttributeTypes | undefined;
  readonly claims: AttributeTypes | undefined;
  readonly signatureAlgorithm: SignatureAlgorithm | undefined;
  readonly isUngated: boolean;
  readonly needs: readonly Need[];
  readonly readiness: () => ApplicationReadiness;
  readonly unattestedKmsKey: string | undefined;
  readonly secrets: readonly SecretDeclaration[];
  readonly routes: readonly BuiltInRoute[];
  readonly ingresses: readonly IngressDeclaration[];
  readonly openapi: ApplicationDocument;
  readonly settings: ApplicationSettings<object> | undefined;
  readonly environment: Environment;
  readonly handlesSignals: boolean;
  readonly parts: RuntimeParts;
}

const OPTIONS: readonly (keyof EnclaveOptions)[] = [
  "name",
  "actions",
  "attributes",
  "claims",
  "signatureAlgorithm",
  "ungated",
  "needs",
  "readiness",
  "unattestedKmsKey",
  "secrets",
  "routes",
  "ingresses",
  "openapi",
  "settings",
  "environment",
  "signals",
  "logger",
  "nsm",
  "trustedCertificates",
  "keepGlobals",
];

/**
 * Checks the options of `startEnclave()`.
 *
 * @param options Options as they were given
 * @returns The options, with their defaults
 * @throws {TypeError} When one is unknown or of a wrong type, or a need is none
 * @throws {RangeError} When there are too many actions, or the name is too long
 */
export function checkEnclaveOptions(options: EnclaveOptions): CheckedOptions {
  const given = checkFields("options of startEnclave", options, OPTIONS);
  const { logger, nsm, trustedCertificates } = given;
  return {
    name: checkText("name", given.name, 64),
    actions: joinActions(given.actions),
    attributes: given.attributes,
    claims: given.claims,
    signatureAlgorithm: given.signatureAlgorithm,
    isUngated: checkSwitch("ungated", given.ungated, false),
    needs: checkNeeds(given),
    readiness: checkReadiness(given.readiness),
    unattestedKmsKey: given.unattestedKmsKey === undefined ? undefined : checkKeyId(given.unattestedKmsKey),
    secrets: checkList("secrets", given.secrets),
    routes: [...chooseRoutes(given.routes), ...(given.secrets?.some(isSealed) === true ? [SECRET] : [])],
    ingresses: checkIngresses(given.ingresses),
    openapi: checkDocument(given.openapi),
    settings: checkSettings(given.settings),
    environment: given.environment ?? process.env,
    handlesSignals: checkSwitch("signals", given.signals, true),
    parts: {
      logger,
      nsm,
      trustedCertificates,
      keepGlobals: checkSwitch("keepGlobals", given.keepGlobals, false),
    },
  };
}

function checkList<T>(field: string, list: readonly T[] = []): readonly T[] {
  if (Array.isArray(list)) return list;
  throw new TypeError(`${field} must be a list`);
}

function checkSettings(settings: unknown): ApplicationSettings<object> | undefined {
  if (settings === undefined || settings instanceof ApplicationSettings) return settings;
  throw new TypeError("settings must be made by declareSettings()");
}

function isSealed({ from }: SecretDeclaration): boolean {
  return from?.kind === "sealed";
}

function checkNeeds({ needs, ungated, actions = [] }: EnclaveOptions): readonly Need[] {
  if (needs === undefined) return ungated === true && actions.length === 0 ? ["kms"] : ALL_NEEDS;
  if (Array.isArray(needs) && needs.every((need) => ALL_NEEDS.includes(need))) return [...needs];
  throw new TypeError(`needs must be a list of ${ALL_NEEDS.map((need) => `"${need}"`).join(" and ")}`);
}

function checkReadiness(readiness: unknown = () => ({ parts: {} })): () => ApplicationReadiness {
  if (typeof readiness === "function") return readiness as () => ApplicationReadiness;
  throw new TypeError("readiness must be a function");
}

function chooseRoutes(given: RouteOptions = {}): readonly BuiltInRoute[] {
  const switches = checkFields("routes", given, [...ROUTE_NAMES, "sign", "hash", "page"]);
  const { sign } = switches;
  const isOn = (name: RouteName) => checkSwitch(`routes.${name}`, switches[name], true);
  return [
    ...PUBLIC_ROUTES.filter(({ name }) => isOn(name as RouteName)),
    ...(sign === undefined ? [] : [signRoute(checkFields("routes.sign", sign, ["purpose"]).purpose)]),
    ...(checkSwitch("routes.hash", switches.hash, false) ? [HASH] : []),
    ...(checkSwitch("routes.page", switches.page, false) ? [PAGE] : []),
  ];
}

function checkSwitch(field: string, value: unknown, standard: boolean): boolean {
  if (value === undefined) return standard;
  if (typeof value === "boolean") return value;
  throw new TypeError(`${field} must be a boolean`);
}
