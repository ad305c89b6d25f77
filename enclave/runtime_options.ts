import type { SignatureAlgorithm } from "../lib/attestation/signature_message.ts";
import type { NsmTransport } from "../lib/nsm/nsm_transport.ts";
import type { AttributeTypes } from "../lib/policy/attributes.ts";
import type { Need } from "./readiness.ts";
import type { Logger } from "./telemetry/log.ts";

/** Parts that tests and the simulated enclave put in the place of the real ones. */
export interface RuntimeParts {
  /** Destination of the log. Default: JSON lines on the standard output. */
  readonly logger?: Logger | undefined;
  /** The NSM. Default: `/dev/nsm`. The kernel is seeded from that one only: another may be simulated. */
  readonly nsm?: NsmTransport | undefined;
  /** Authorities that may vouch for KMS, PEM. Default: the configuration's, or the runtime's own. */
  readonly trustedCertificates?: string | undefined;
  /**
   * Whether the global `Request` and `Response` stay the runtime's own. They are replaced otherwise until the end, as
   * @hono/node-server does, by ones that pass for them and cost a third: for code that hands answers to something else than
   * this listener, such as `Deno.serve()`. Default: false.
   */
  readonly keepGlobals?: boolean | undefined;
}

/** Properties of the application that a runtime is for. */
export interface RuntimeOptions {
  /** Name of the application, which its telemetry has. */
  readonly name: string;
  /** Actions that the policy is asked about, from `joinActions()`. */
  readonly actions: readonly string[];
  /** Attributes of callers in the policy's schema. Default: those of `cedarSchema()`. */
  readonly attributes?: AttributeTypes | undefined;
  /** Claims of tokens that the policy sees, with their types. Default: none. */
  readonly claims?: AttributeTypes | undefined;
  /** Needs of the application, for its readiness. Default: all. */
  readonly needs?: readonly Need[] | undefined;
  /** Names the variable of a setting, for messages. */
  readonly variableOf: (setting: string) => string;
  /** Callers that may set credentials: the parent alone, or those that the policy permits. Default: `parent`. */
  readonly credentialSetters?: "parent" | "policy" | undefined;
  /** Whether the application has the route of sealed requests, where the settings do. Default: true. */
  readonly isSealed?: boolean | undefined;
  /** Whether something needs TLS of this boot, even where the settings have no endpoint for it. Default: false. */
  readonly needsTls?: boolean | undefined;
  /** Algorithm of the key that the enclave signs with. Default: `ES256`. */
  readonly signatureAlgorithm?: SignatureAlgorithm | undefined;
}
