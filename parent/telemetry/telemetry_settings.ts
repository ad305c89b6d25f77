import type { Environment } from "../kms_proxy_settings.ts";
import { MAX_TIMEOUT_MS } from "../../lib/core/deadline.ts";

/** Settings of the telemetry relay, as OpenTelemetry names them. */
export interface TelemetrySettings {
  /** Base URL of the collector, from `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  readonly endpoint: string;
  /** Headers that the parent adds, from `OTEL_EXPORTER_OTLP_HEADERS`. */
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds for one export, from `OTEL_EXPORTER_OTLP_TIMEOUT`. */
  readonly timeoutMs: number | undefined;
}

/** Headers that the parent cannot add: they belong to the connection, or to the export. */
const OWN_HEADERS =
  /^(?:host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|content-.*|proxy-.*)$/;

/**
 * Reads the settings of the telemetry relay from the environment: `OTEL_EXPORTER_OTLP_ENDPOINT`,
 * `OTEL_EXPORTER_OTLP_HEADERS` (`name=value` with commas between them, values percent-encoded) and
 * `OTEL_EXPORTER_OTLP_TIMEOUT` in milliseconds. An empty variable counts as one that is not set.
 *
 * @param env Environment
 * @returns The settings; undefined without an endpoint
 * @throws {TypeError} When a variable is malformed. The message names it, and never a header's value
 * @example
 * ```ts
 * import { readTelemetrySettings } from "enclave-kms/parent";
 *
 * const settings = readTelemetrySettings({
 *   OTEL_EXPORTER_OTLP_ENDPOINT: "https://collector.example:4318",
 *   OTEL_EXPORTER_OTLP_HEADERS: "api-key=abc%20def",
 * });
 * settings?.headers["api-key"]; // "abc def"
 * ```
 */
export function readTelemetrySettings(env: Environment): TelemetrySettings | undefined {
  const text = (name: string) => env[name] === "" ? undefined : env[name];
  const endpoint = text("OTEL_EXPORTER_OTLP_ENDPOINT");
  if (endpoint === undefined) return undefined;
  const timeout = text("OTEL_EXPORTER_OTLP_TIMEOUT");
  if (
    timeout !== undefined &&
    !(/^\d{1,10}$/.test(timeout) && Number(timeout) >= 10 && Number(timeout) <= MAX_TIMEOUT_MS)
  ) {
    throw new TypeError("OTEL_EXPORTER_OTLP_TIMEOUT must be milliseconds, 10 to 2147483647");
  }
  return {
    endpoint: named("OTEL_EXPORTER_OTLP_ENDPOINT", () => checkCollector(endpoint).href),
    headers: named("OTEL_EXPORTER_OTLP_HEADERS", () => readHeaders(text("OTEL_EXPORTER_OTLP_HEADERS") ?? "")),
    timeoutMs: timeout === undefined ? undefined : Number(timeout),
  };
}

/**
 * Checks the base URL of a collector.
 *
 * @param endpoint URL with `https:` or `http:`, without credentials, query and fragment
 * @throws {TypeError} When it is anything else
 */
export function checkCollector(endpoint: unknown): URL {
  const url = typeof endpoint === "string" || endpoint instanceof URL ? URL.parse(String(endpoint)) : null;
  const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.username === "" &&
    url.password === "" &&
    url.search === "" && url.hash === "";
  if (isPlain) return url;
  throw new TypeError("endpoint must be an http: or https: URL without credentials, query and fragment");
}

/**
 * Checks headers that the parent adds.
 *
 * @param headers Values by name
 * @returns The same, with names in lowercase
 * @throws {TypeError} When a name or value is malformed, given twice, or not the parent's to set. The message has no value
 */
export function checkAddedHeaders(
  headers: Readonly<Record<string, unknown>>,
): Readonly<Record<string, string>> {
  const checked: Record<string, string> = {};
  for (const [given, value] of Object.entries(headers)) {
    const name = given.toLowerCase();
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]{1,64}$/.test(name) || OWN_HEADERS.test(name)) {
      throw new TypeError(
        "headers must have names of headers that belong neither to the connection nor to the body",
      );
    }
    if (typeof value !== "string" || !/^[\t\x20-\x7e]{0,4096}$/.test(value)) {
      throw new TypeError(`headers.${name} must be printable ASCII, at most 4096 characters`);
    }
    if (Object.hasOwn(checked, name)) throw new TypeError(`headers.${name} must be there once`);
    checked[name] = value;
  }
  return checked;
}

function readHeaders(text: string): Readonly<Record<string, string>> {
  const pairs = text.split(",").map((pair) => pair.trim()).filter((pair) => pair !== "").map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) throw new TypeError("expected name=value, with commas between them");
    return [pair.slice(0, at).trim(), decode(pair.slice(at + 1).trim())] as const;
  });
  const names = pairs.map(([name]) => name.toLowerCase());
  if (new Set(names).size < names.length) throw new TypeError("a header must be there once");
  return checkAddedHeaders(Object.fromEntries(pairs));
}

function decode(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    throw new TypeError("a value must be percent-encoded");
  }
}

function named<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new TypeError(`${name}: ${(error as Error).message}`);
  }
}
