import { readFileSync } from "node:fs";
import * as v from "valibot";
import { didYouMean } from "../lib/core/did_you_mean.ts";
import type { Endpoint } from "../lib/core/endpoint.ts";
import { parseEndpoint } from "../lib/core/endpoint.ts";
import { placeOfJsonError } from "../lib/core/json_place.ts";
import type { AttributeValue } from "../lib/policy/facts.ts";
import { DEFAULT_FUEL, MAX_FUEL } from "../lib/policy/policy.ts";
import { checkHostName, checkRegion } from "../lib/aws/region.ts";
import { ANY_CID } from "../lib/transport/listen.ts";
import type { LogLevel } from "../enclave/telemetry/log.ts";
import { CALLERS, isCallers } from "../enclave/callers_setting.ts";
import { describeIssue } from "../enclave/parse.ts";

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

const VARIABLE_PREFIX = "ENCLAVE_KMS_";

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
  const unknown = Object.keys(file).filter((name) => !FILE_SETTINGS.includes(name));
  const known = Object.entries(file).filter(([name]) => !unknown.includes(name));
  const result = v.safeParse(schema, { ...Object.fromEntries(known), ...readEnvironment(env) });
  const wrong = [
    ...unknown.map(describeUnknown),
    ...(result.issues ?? []).map((issue) => describe(issue, env)),
  ];
  if (!result.success || wrong.length > 0) throw new ConfigError(wrong);
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
  return `${VARIABLE_PREFIX}${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/**
 * Looks for variables that look like settings and are none: a misspelt safeguard is no safeguard.
 *
 * @param env The environment
 * @returns One sentence for each, with the name that was most likely meant, and never a value
 */
export function unknownVariables(env: Readonly<Record<string, string | undefined>>): string[] {
  const known = [CONFIG_FILE_VARIABLE, ...SETTINGS.map(variableOf)];
  const unknown = Object.keys(env).filter((name) =>
    name.toUpperCase().startsWith(VARIABLE_PREFIX) && !known.includes(name)
  );
  // What all have in common would make any two names alike.
  const ownPart = (name: string) => name.slice(VARIABLE_PREFIX.length);
  return unknown.map((name) => {
    if (name === variableOf("callers")) return `${name} is not read: callers can be set in the file only`;
    return `${quoted(name)} is no setting${suggestion(ownPart(name), known.map(ownPart), VARIABLE_PREFIX)}`;
  });
}

/**
 * Says why a file cannot be used, in the words of an operator.
 *
 * @param error What reading it threw
 * @returns The system's code, such as ENOENT, or the runtime's name for it
 */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "unreadable";
  return "code" in error && typeof error.code === "string" ? error.code : error.name;
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

const schema: v.GenericSchema<unknown, Config> = v.object({
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
  callers: v.optional(v.custom<Config["callers"]>(isCallers, CALLERS), {}),
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

const FILE_SETTINGS: readonly string[] = [...SETTINGS, "callers"];

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
  const problem = (what: string) => new ConfigError([`${CONFIG_FILE_VARIABLE}: ${path} ${what}`]);
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    throw problem(`cannot be read (${reasonOf(error)})`);
  }
  const value = parseJson(text, problem);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw problem("must hold a JSON object");
}

/** The runtimes' own messages quote the text. */
function parseJson(text: string, problem: (what: string) => ConfigError): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const { line, column } = placeOfJsonError(text) ?? { line: 1, column: 1 };
    throw problem(`is not JSON (line ${line}, column ${column})`);
  }
}

function checkTogether({ region, http, kmstool, idleTimeoutMs, requestTimeoutMs }: Config): string[] {
  return [
    ...(http !== undefined && region === undefined ? ["region (ENCLAVE_KMS_REGION): must be set"] : []),
    ...(http === undefined && kmstool === undefined ? ["http, kmstool: one of them must listen"] : []),
    ...(idleTimeoutMs <= requestTimeoutMs ? ["idleTimeoutMs: must be longer than requestTimeoutMs"] : []),
  ];
}

function describe(issue: v.BaseIssue<unknown>, env: Readonly<Record<string, string | undefined>>): string {
  const setting = String(issue.path?.[0]?.key ?? "");
  // What is below a setting are names that somebody chose.
  const { expected } = describeIssue(issue);
  const variables = setting === "callers" ? [] : [variableOf(setting), KMSTOOL_VARIABLES[setting] ?? ""];
  const place = variables.find((name) => env[name]) ?? "in the file";
  return `${setting} (${place}): expected ${expected}`;
}

function describeUnknown(name: string): string {
  return `${quoted(name)} (in the file): is no setting${suggestion(name, FILE_SETTINGS)}`;
}

function suggestion(name: string, known: readonly string[], prefix = ""): string {
  const meant = didYouMean(name, known);
  return meant === undefined ? "" : `; did you mean ${prefix}${meant}?`;
}

/** A name that an operator can find again; one of another form may be a value in the wrong place. */
function quoted(name: string): string {
  return /^\w{1,64}$/.test(name) ? name : "a name of other characters than letters, digits and _";
}

/** `off` is no endpoint, which a check would take for a failure: null stands for it until the end. */
function readListen(value: string): Endpoint | null | undefined {
  if (value === "off") return null;
  return parseEndpoint(value.replace(/^vsock:/, `vsock:${ANY_CID}:`), 0);
}
