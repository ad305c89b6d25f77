import { readFileSync } from "node:fs";
import * as v from "valibot";
import type { Endpoint } from "../lib/endpoint.ts";
import { parseEndpoint } from "../lib/endpoint_text.ts";
import type { AttributeValue } from "../lib/policy/facts.ts";
import { DEFAULT_FUEL, MAX_FUEL } from "../lib/policy/policy.ts";
import { checkHostName, checkRegion } from "../lib/region.ts";
import { ANY_CID } from "../lib/vsock/listen.ts";
import type { LogLevel } from "./log.ts";
import { describeIssue } from "./schemas.ts";

/** What the server is started with, after every check. */
export interface Config {
  /** Of the keys; with it set, kmstool messages may not name another. */
  readonly region: string | undefined;
  /** Where HTTP listens; undefined: nowhere. */
  readonly http: Endpoint | undefined;
  /** Where the kmstool protocol listens; undefined: nowhere. */
  readonly kmstool: Endpoint | undefined;
  /** Where the proxy to KMS listens. */
  readonly kms: Endpoint;
  /** KMS's name, where it is not the region's own. */
  readonly hostName: string | undefined;
  /** Who speaks to KMS. */
  readonly engine: "auto" | "direct" | "sdk" | "sdk-client";
  /** Absolute path of the C SDK. */
  readonly library: string | undefined;
  /** PEM file with the authorities that may vouch for KMS. */
  readonly trustedCertificatesFile: string | undefined;
  /** A `.cedar` or `.wasm` file; without it everything is refused. */
  readonly policyFile: string | undefined;
  /** Units of fuel that the policy may use for a decision. */
  readonly policyFuel: number;
  /** Who may set credentials: the parent alone, or whom the policy permits. */
  readonly credentialSetters: "parent" | "policy";
  /** What the operator assigns to callers, by CID. */
  readonly callers: Readonly<Record<string, Readonly<Record<string, AttributeValue>>>>;
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
  /** Milliseconds for what runs when the server is told to stop. */
  readonly shutdownGraceMs: number;
  /** Seconds over which a policy's `recentCount` counts. */
  readonly rateWindowSeconds: number;
  /** What is left out of the log. */
  readonly logLevel: LogLevel;
}

/** Everything that is wrong with the configuration, at once. */
export class ConfigError extends Error {
  /** One sentence each; they name the setting and what was expected, never the value. */
  readonly problems: readonly string[];

  /** @param problems One sentence each */
  constructor(problems: readonly string[]) {
    super(
      `The configuration has ${problems.length} problem(s):\n${problems.map((p) => `  ${p}`).join("\n")}`,
    );
    this.name = "ConfigError";
    this.problems = problems;
  }
}

/** The variable that names the JSON file. */
export const CONFIG_FILE_VARIABLE = "ENCLAVE_KMS_CONFIG";

/**
 * Reads the configuration: a JSON file if one is named, and over it the environment.
 *
 * @param env The environment
 * @param readFile Reads a text file
 * @throws {ConfigError} With everything that is wrong
 */
export function readConfig(
  env: Readonly<Record<string, string | undefined>>,
  readFile: (path: string) => string = (path) => readFileSync(path, "utf8"),
): Config {
  const path = env[CONFIG_FILE_VARIABLE];
  const file = path === undefined || path === "" ? {} : readJson(path, readFile);
  const result = v.safeParse(schema, { ...file, ...readEnvironment(env) });
  if (!result.success) throw new ConfigError(result.issues.map(describe));
  // From null, which stands for "off".
  const { http, kmstool } = result.output;
  const config = { ...result.output, http: http ?? undefined, kmstool: kmstool ?? undefined };
  const problems = checkTogether(config);
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/**
 * @param name A setting, such as `requestTimeoutMs`
 * @returns Its variable, such as `ENCLAVE_KMS_REQUEST_TIMEOUT_MS`
 */
export function variableOf(name: string): string {
  return `ENCLAVE_KMS_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** kmstool's own variables, used when ours are not there. */
const KMSTOOL_VARIABLES: Readonly<Record<string, string>> = { region: "REGION", hostName: "ENDPOINT" };

const NUMBERS: Readonly<Record<string, { min: number; max: number; default: number }>> = {
  developmentCid: { min: 0, max: 0xffff_ffff, default: 1 },
  maxConcurrent: { min: 1, max: 10_000, default: 64 },
  maxWaiting: { min: 0, max: 100_000, default: 512 },
  maxConnections: { min: 1, max: 100_000, default: 1024 },
  requestTimeoutMs: { min: 100, max: 600_000, default: 10_000 },
  idleTimeoutMs: { min: 1000, max: 3_600_000, default: 60_000 },
  shutdownGraceMs: { min: 0, max: 600_000, default: 15_000 },
  policyFuel: { min: 1000, max: MAX_FUEL, default: DEFAULT_FUEL },
  rateWindowSeconds: { min: 1, max: 86_400, default: 60 },
};

function number(name: keyof typeof NUMBERS): v.GenericSchema<unknown, number> {
  const { min, max, default: standard } = NUMBERS[name] ?? { min: 0, max: 0, default: 0 };
  const text = `a whole number from ${min} to ${max}`;
  const inRange = (value: unknown) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max;
  return v.optional(v.custom<number>(inRange, text), standard);
}

/** A text that a check of ours turns into something, or throws. */
function text<T>(expected: string, read: (value: string) => T): v.GenericSchema<unknown, T> {
  const succeeds = (value: unknown) => {
    try {
      return typeof value === "string" && read(value) !== undefined;
    } catch {
      return false;
    }
  };
  return v.pipe(v.custom<string>(succeeds, expected), v.transform(read));
}

const LISTEN = "vsock:<port>, tcp:<host>:<port>, unix:<path> or off";
const path = text("an absolute path", (value) => value.startsWith("/") ? value : undefined);
const attribute = v.union([v.string(), v.boolean(), v.pipe(v.number(), v.integer()), v.array(v.string())]);

const schema: v.GenericSchema<unknown, Config> = v.strictObject({
  region: v.optional(text("a region such as eu-central-1", checkRegion)),
  http: v.optional(text(LISTEN, readListen), "vsock:8080"),
  kmstool: v.optional(text(LISTEN, readListen), "vsock:3000"),
  kms: v.optional(
    text("vsock:<cid>:<port>, tcp:<host>:<port> or unix:<path>", parseEndpoint),
    "vsock:3:8000",
  ),
  hostName: v.optional(text("a DNS name", checkHostName)),
  engine: v.optional(v.picklist(["auto", "direct", "sdk", "sdk-client"]), "auto"),
  library: v.optional(path),
  trustedCertificatesFile: v.optional(path),
  policyFile: v.optional(path),
  credentialSetters: v.optional(v.picklist(["parent", "policy"]), "parent"),
  callers: v.optional(
    v.record(v.pipe(v.string(), v.regex(/^\d{1,10}$/, "CIDs as names")), v.record(v.string(), attribute)),
    {},
  ),
  developmentCid: number("developmentCid"),
  maxConcurrent: number("maxConcurrent"),
  maxWaiting: number("maxWaiting"),
  maxConnections: number("maxConnections"),
  requestTimeoutMs: number("requestTimeoutMs"),
  idleTimeoutMs: number("idleTimeoutMs"),
  shutdownGraceMs: number("shutdownGraceMs"),
  policyFuel: number("policyFuel"),
  rateWindowSeconds: number("rateWindowSeconds"),
  logLevel: v.optional(v.picklist(["debug", "info", "warn", "error", "silent"]), "info"),
}) as unknown as v.GenericSchema<unknown, Config>;

/** The settings that the environment can hold: all but `callers`. */
const SETTINGS: readonly string[] = [
  "region",
  "http",
  "kmstool",
  "kms",
  "hostName",
  "engine",
  "library",
  "trustedCertificatesFile",
  "policyFile",
  "credentialSetters",
  "logLevel",
  ...Object.keys(NUMBERS),
];

/** An empty variable is one that is not set: images set them to override. */
function readEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  for (const name of SETTINGS) {
    const value = env[variableOf(name)] || env[KMSTOOL_VARIABLES[name] ?? ""];
    if (value === undefined || value === "") continue;
    settings[name] = name in NUMBERS ? Number(value) : value;
  }
  return settings;
}

function readJson(path: string, readFile: (path: string) => string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(readFile(path));
  } catch (error) {
    const problem = error instanceof SyntaxError ? "is not JSON" : "cannot be read";
    throw new ConfigError([`${CONFIG_FILE_VARIABLE}: the file ${problem}`]);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw new ConfigError([`${CONFIG_FILE_VARIABLE}: the file must hold a JSON object`]);
}

function checkTogether({ region, http, kmstool, idleTimeoutMs, requestTimeoutMs }: Config): string[] {
  return [
    ...(http !== undefined && region === undefined ? ["region: has to be there for HTTP"] : []),
    ...(http === undefined && kmstool === undefined ? ["http, kmstool: one of them has to listen"] : []),
    ...(idleTimeoutMs <= requestTimeoutMs ? ["idleTimeoutMs: has to be longer than requestTimeoutMs"] : []),
  ];
}

function describe(issue: v.BaseIssue<unknown>): string {
  const { path, expected } = describeIssue(issue);
  // What is below a setting are names that somebody chose.
  const [setting = ""] = path.split(".");
  if (setting === "") return `the file: expected ${expected}`;
  return `${setting} (${
    SETTINGS.includes(setting) ? variableOf(setting) : "in the file"
  }): expected ${expected}`;
}

/** `off` is no endpoint, which a check would take for a failure: null stands for it until the end. */
function readListen(value: string): Endpoint | null | undefined {
  if (value === "off") return null;
  return parseEndpoint(value.replace(/^vsock:/, `vsock:${ANY_CID}:`), 0);
}
