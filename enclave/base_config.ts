/**
 * Settings that every application in the enclave has: KMS, policy, limits, log.
 *
 * @module
 */
import type { Endpoint } from "../lib/core/endpoint.ts";
import { parseEndpoint } from "../lib/core/endpoint.ts";
import type { Attributes } from "../lib/policy/attributes.ts";
import { DEFAULT_FUEL, MAX_FUEL } from "../lib/policy/policy.ts";
import { checkHostName, checkRegion, HOST_NAME, REGION } from "../lib/aws/region.ts";
import { fileSwitch, tokenIssuers } from "./callers/token_settings.ts";
import type { CheckedIssuer } from "./callers/token_issuer.ts";
import { callersSetting } from "./callers_setting.ts";
import {
  absolutePath,
  absolutePathOrOff,
  connectEndpoint,
  ENDPOINT_PATTERNS,
  listenEndpoint,
  oneOf,
  text,
  textOr,
  wholeNumber,
} from "./setting_kinds.ts";
import type { Settings } from "./settings.ts";
import type { LogLevel } from "./telemetry/log.ts";

/** Settings of every application, after every check. */
export interface BaseConfig {
  /** Region of the keys. */
  readonly region: string | undefined;
  /** Endpoint of the proxy to KMS. */
  readonly kms: Endpoint;
  /** Host name of KMS, where it is not the region's own. */
  readonly hostName: string | undefined;
  /** Engine that speaks to KMS. */
  readonly engine: "auto" | "direct" | "sdk" | "sdk-client";
  /** Absolute path of the C SDK. */
  readonly library: string | undefined;
  /** Absolute path of OpenSSL's libcrypto, or `off`; undefined for the usual places. */
  readonly libcrypto: string | undefined;
  /** PEM file with the authorities that may vouch for KMS. */
  readonly trustedCertificatesFile: string | undefined;
  /** A `.cedar` or `.wasm` file; without it everything is refused. */
  readonly policyFile: string | undefined;
  /** Units of fuel that the policy may use for a decision. */
  readonly policyFuel: number;
  /** Attributes that the operator assigns to callers, by CID, or by `certificate:` and the certificate's SHA-256. */
  readonly callers: Readonly<Record<string, Attributes>>;
  /** Issuers whose tokens tell who calls; without any, no token is looked at. */
  readonly tokens: readonly CheckedIssuer[];
  /** Whether tokens are taken that came in the clear, where the parent can read and use them. */
  readonly clearTokens: boolean;
  /** Endpoint of TLS that ends inside the enclave; null when it is off. */
  readonly tls: Endpoint | null;
  /** PEM file with the authorities that vouch for clients of that TLS. */
  readonly clientAuthoritiesFile: string | undefined;
  /** Whether requests are taken that were sealed to a key of this boot. */
  readonly sealed: "on" | "off";
  /** Seconds until a new key is made that requests are sealed to. */
  readonly sealedKeySeconds: number;
  /** The CID that callers over TCP and unix sockets are taken for. */
  readonly developmentCid: number;
  /** Requests that run at once. */
  readonly maxConcurrent: number;
  /** Requests that may wait for their turn. */
  readonly maxWaiting: number;
  /** Connections at once, for each protocol. */
  readonly maxConnections: number;
  /** Milliseconds for one request. */
  readonly requestTimeoutMs: number;
  /** Milliseconds without a request after which a connection ends. */
  readonly idleTimeoutMs: number;
  /** Milliseconds for what runs when the application is told to stop. */
  readonly shutdownGraceMs: number;
  /** Seconds over which a policy's `recentCount` counts. */
  readonly rateWindowSeconds: number;
  /** Endpoint that traces, metrics and log lines are sent to by OTLP; null when they stay inside. */
  readonly telemetry: Endpoint | null;
  /** Least level of the log. */
  readonly logLevel: LogLevel;
}

/** Settings of every application. */
export const BASE_SETTINGS: Settings<BaseConfig> = {
  // Where ours are not set, kmstool's own variables count.
  region: {
    ...text("a region such as eu-central-1", checkRegion, { pattern: REGION.source, maxLength: 32 }),
    otherVariable: "REGION",
  },
  kms: textOr("vsock:<cid>:<port>, tcp:<host>:<port> or unix:<path>", parseEndpoint, "vsock:3:8000", {
    pattern: ENDPOINT_PATTERNS.connect,
  }),
  hostName: {
    ...text("a DNS name", checkHostName, { pattern: HOST_NAME.source, maxLength: 253 }),
    otherVariable: "ENDPOINT",
  },
  engine: oneOf(["auto", "direct", "sdk", "sdk-client"], "auto"),
  library: absolutePath(),
  libcrypto: absolutePathOrOff(),
  trustedCertificatesFile: absolutePath(),
  policyFile: absolutePath(),
  policyFuel: wholeNumber({ min: 1000, max: MAX_FUEL, default: DEFAULT_FUEL }),
  callers: callersSetting(),
  tokens: tokenIssuers(),
  clearTokens: fileSwitch(),
  tls: listenEndpoint("off"),
  clientAuthoritiesFile: absolutePath(),
  sealed: oneOf(["on", "off"], "on"),
  sealedKeySeconds: wholeNumber({ min: 60, max: 86_400, default: 3600 }),
  developmentCid: wholeNumber({ min: 0, max: 0xffff_ffff, default: 1 }),
  maxConcurrent: wholeNumber({ min: 1, max: 10_000, default: 64 }),
  maxWaiting: wholeNumber({ min: 0, max: 100_000, default: 512 }),
  maxConnections: wholeNumber({ min: 1, max: 100_000, default: 1024 }),
  requestTimeoutMs: wholeNumber({ min: 100, max: 600_000, default: 10_000 }),
  idleTimeoutMs: wholeNumber({ min: 1000, max: 3_600_000, default: 60_000 }),
  shutdownGraceMs: wholeNumber({ min: 0, max: 600_000, default: 15_000 }),
  rateWindowSeconds: wholeNumber({ min: 1, max: 86_400, default: 60 }),
  telemetry: connectEndpoint("off"),
  logLevel: oneOf(["debug", "info", "warn", "error", "silent"], "info"),
};

/**
 * Checks settings that depend on one another.
 *
 * @param config The settings, each of them checked
 * @param needsTls Whether the application ends TLS where the settings have no endpoint for it. Default: false
 * @returns One sentence for each problem
 */
export function checkBaseTogether(config: BaseConfig, needsTls = false): string[] {
  const { idleTimeoutMs, requestTimeoutMs, tokens, engine, tls, clientAuthoritiesFile } = config;
  return [
    ...(clientAuthoritiesFile !== undefined && tls === null && !needsTls
      ? ["clientAuthoritiesFile: is for clients of tls, which is off"]
      : []),
    ...(idleTimeoutMs <= requestTimeoutMs ? ["idleTimeoutMs: must be longer than requestTimeoutMs"] : []),
    ...(tokens.length > 0 && engine === "sdk-client"
      ? ["tokens: are judged by KMS's clock, which engine sdk-client does not show"]
      : []),
    ...(clientAuthoritiesFile !== undefined && engine === "sdk-client"
      ? [
        "clientAuthoritiesFile: certificates are judged by KMS's clock, which engine sdk-client does not show",
      ]
      : []),
  ];
}
