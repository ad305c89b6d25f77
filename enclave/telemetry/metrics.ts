/**
 * Counters of an application. Every label's value comes from a fixed list, so that no input of a caller can appear
 * there, or make the text grow.
 *
 * @module
 */
import type { CredentialsState } from "../credential_store.ts";
import { joinOperations } from "../actions.ts";
import { BUILD_INFO } from "./build_info.ts";
import { Counter, Histogram } from "./counters.ts";
import { countedCode } from "./kms_codes.ts";
import { type MetricFamily, renderPrometheus, type Sample, type ValueFamily } from "./metric_family.ts";

/** Protocol of a request. */
export type Protocol = "http" | "kmstool";

const PROTOCOLS: readonly Protocol[] = ["http", "kmstool"];

/** Outcome of a request. */
export type Outcome = "ok" | "refused" | "denied" | "busy" | "timeout" | "gone" | "failed";

/** Outcome of a TLS handshake; `displaced` for one that gave way to a newer one. */
export type HandshakeOutcome = "ok" | "refused" | "timeout" | "gone" | "displaced";

/** Upper bounds of the histogram of requests, in seconds. */
const REQUEST_BOUNDS: readonly number[] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Upper bounds of the histogram of the policy's decisions, in seconds. */
const POLICY_BOUNDS: readonly number[] = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05];

const HELP = {
  requests: "Requests by protocol, operation and outcome",
  seconds: "Time from a request's arrival to its answer, by operation",
  policySeconds: "Time that the policy took to decide about a request",
  running: "Requests that wait for KMS, the NSM or a free slot",
  turns: "Requests with the credentials in force that may run at once: fewer while KMS throttles",
  throttled: "Answers by which KMS throttled, of requests that were tried again as well",
  kmsErrors: "Refusals of KMS by exception, of requests that were tried again as well",
  kmsRetries: "Requests to KMS that were tried again",
  clockOffset: "KMS's clock minus this machine's, by KMS's last answer, which tells whole seconds",
  build: "Version of this package, and the runtime",
  connections: "Open connections by protocol",
  displaced: "Connections closed, without a request in flight, for a new one at the limit",
  unheard: "Connections closed unheard at the limit, because each other had a request in flight",
  handshakes: "TLS handshakes by outcome",
  credentials: "Whether credentials are set (1) or not (0)",
  credentialsRefused: "Whether KMS refused the credentials (1), and has not taken them since, or not (0)",
  credentialsGeneration: "Number of times that credentials were set",
  credentialsHeld: "Generations of credentials in memory: those in force, and replaced ones still in use",
  credentialsAge: "Time since the credentials were set",
  credentialsLeft: "Time until the credentials expire, below zero past it, where that is known",
  reloads: "Reloads of the policy by outcome",
  telemetry: "Spans, log lines and exports of metrics, by what became of them",
  telemetryBytes: "Bytes of spans and log lines that wait to be exported",
} as const;

const NO_CREDENTIALS: CredentialsState = { isSet: false, areRefused: false, generation: 0, heldCount: 0 };

/** Connections of one protocol that ended because of the limit. */
export interface AtLimit {
  /** Number that gave way to a new one. */
  readonly displacedCount: number;
  /** Number of new ones that were closed unheard. */
  readonly refusedCount: number;
}

/** Sources of values that are looked up instead of counted. */
export interface MetricsSources {
  /** Reads the number of requests that run or wait. */
  running(): number;
  /** Reads the number of requests with the credentials in force that may run at once. */
  turns?(): number;
  /** Reads the number of answers by which KMS throttled. */
  throttled?(): number;
  /** Reads KMS's time minus this machine's, in seconds; undefined until KMS told it. */
  clockOffset?(): number | undefined;
  /** Reads the state of the credentials of HTTP's callers. */
  credentials(): CredentialsState;
  /** Reads the effect of the connection limit, for a protocol that is served. */
  atLimit?(protocol: Protocol): AtLimit | undefined;
}

/** Exporter as the metrics tell of it. */
export interface TelemetryState {
  /** Number of items, by kind and end. */
  readonly counts: readonly Sample[];
  /** Bytes that wait. */
  readonly waitingBytes: number;
}

/** Counters of the server. */
export class Metrics {
  readonly #requests = new Counter("protocol", "operation", "outcome");
  readonly #seconds = new Histogram(REQUEST_BOUNDS, "operation");
  readonly #policySeconds = new Histogram(POLICY_BOUNDS);
  readonly #kmsErrors = new Counter("code");
  readonly #reloads = new Counter("outcome");
  readonly #handshakes = new Counter("outcome");
  readonly #connections: Record<Protocol, number> = { http: 0, kmstool: 0 };
  #retries = 0;
  #telemetry: TelemetryState | undefined;
  #sources: MetricsSources = { running: () => 0, credentials: () => NO_CREDENTIALS };

  readonly #operations: ReadonlySet<string>;

  /**
   * Starts at zero.
   *
   * @param operations Names that are counted separately, from `joinOperations()`. Default: the decrypt server's
   */
  constructor(operations: readonly string[] = joinOperations()) {
    this.#operations = new Set(operations);
  }

  /** Sets the sources of values that are looked up. */
  observe(sources: MetricsSources): void {
    this.#sources = sources;
  }

  /** Sets the exporter that the metrics tell of. */
  observeTelemetry(telemetry: TelemetryState): void {
    this.#telemetry = telemetry;
  }

  /** Counts one answered request; `Other` stands for an operation without a name in the list. */
  countRequest(protocol: Protocol, operation: string, outcome: Outcome, seconds: number): void {
    const name = this.#operations.has(operation) ? operation : "Other";
    this.#requests.add(protocol, name, outcome);
    this.#seconds.note(seconds, name);
  }

  /** Counts one decision of the policy. */
  countDecision(seconds: number): void {
    this.#policySeconds.note(seconds);
  }

  /** Counts one refusal of KMS; `Other` stands for an exception without a name in the list. */
  countKmsError(code: string): void {
    this.#kmsErrors.add(countedCode(code));
  }

  /** Counts one request to KMS that is tried again. */
  countKmsRetry(): void {
    this.#retries++;
  }

  /** Counts one reload of the policy. */
  countReload(outcome: "ok" | "failed"): void {
    this.#reloads.add(outcome);
  }

  /** Counts one TLS handshake that is over. */
  countHandshake(outcome: HandshakeOutcome): void {
    this.#handshakes.add(outcome);
  }

  /** Counts an open connection, until the returned function is called. */
  countConnection(protocol: Protocol): () => void {
    this.#connections[protocol]++;
    return () => void this.#connections[protocol]--;
  }

  /** Reads the number of open connections of a protocol. */
  openConnections(protocol: Protocol): number {
    return this.#connections[protocol];
  }

  /** Renders Prometheus's text format, version 0.0.4. */
  render(): string {
    return renderPrometheus(this.families);
  }

  /** All metrics with their values of now. */
  get families(): readonly MetricFamily[] {
    const { credentials } = this.#sources;
    return [
      ...this.#requestFamilies(),
      ...this.#connectionFamilies(),
      ...credentialsFamilies(credentials()),
      counter("policy_reloads_total", HELP.reloads, this.#reloads.samples),
      counter("telemetry_items_total", HELP.telemetry, this.#telemetry?.counts ?? []),
      gauge("telemetry_waiting_bytes", HELP.telemetryBytes, known(this.#telemetry?.waitingBytes)),
      gauge("build_info", HELP.build, [[BUILD, 1]]),
    ];
  }

  #requestFamilies(): readonly MetricFamily[] {
    const { running, turns, throttled, clockOffset } = this.#sources;
    return [
      counter("requests_total", HELP.requests, this.#requests.samples),
      histogram("request_seconds", HELP.seconds, this.#seconds),
      histogram("policy_seconds", HELP.policySeconds, this.#policySeconds),
      gauge("requests_running", HELP.running, [[{}, running()]]),
      gauge("turns", HELP.turns, known(turns?.())),
      counter("throttled_total", HELP.throttled, [[{}, throttled?.() ?? 0]]),
      counter("kms_errors_total", HELP.kmsErrors, this.#kmsErrors.samples),
      counter("kms_retries_total", HELP.kmsRetries, [[{}, this.#retries]]),
      gauge("clock_offset_seconds", HELP.clockOffset, known(clockOffset?.())),
    ];
  }

  #connectionFamilies(): readonly MetricFamily[] {
    const { atLimit } = this.#sources;
    const byProtocol = (count: (protocol: Protocol) => number) =>
      PROTOCOLS.map((protocol): Sample => [{ protocol }, count(protocol)]);
    const displaced = byProtocol((name) => atLimit?.(name)?.displacedCount ?? 0);
    const unheard = byProtocol((name) => atLimit?.(name)?.refusedCount ?? 0);
    return [
      gauge("connections", HELP.connections, byProtocol((name) => this.#connections[name])),
      counter("connections_displaced_total", HELP.displaced, displaced),
      counter("connections_unheard_total", HELP.unheard, unheard),
      counter("tls_handshakes_total", HELP.handshakes, this.#handshakes.samples),
    ];
  }
}

const BUILD = {
  version: BUILD_INFO.version,
  runtime: BUILD_INFO.runtime,
  runtime_version: BUILD_INFO.runtimeVersion,
};

function credentialsFamilies(
  { isSet, areRefused, generation, heldCount, ageSeconds, expireInSeconds }: CredentialsState,
): readonly MetricFamily[] {
  return [
    gauge("credentials_set", HELP.credentials, [[{}, isSet ? 1 : 0]]),
    gauge("credentials_refused", HELP.credentialsRefused, [[{}, areRefused ? 1 : 0]]),
    gauge("credentials_generation", HELP.credentialsGeneration, [[{}, generation]]),
    gauge("credentials_held", HELP.credentialsHeld, [[{}, heldCount]]),
    gauge("credentials_age_seconds", HELP.credentialsAge, known(ageSeconds)),
    gauge("credentials_expire_in_seconds", HELP.credentialsLeft, known(expireInSeconds)),
  ];
}

function known(value: number | undefined): readonly Sample[] {
  return value === undefined ? [] : [[{}, value]];
}

function counter(name: string, help: string, samples: readonly Sample[]): ValueFamily {
  return { name, help, type: "counter", samples };
}

function gauge(name: string, help: string, samples: readonly Sample[]): ValueFamily {
  return { name, help, type: "gauge", samples };
}

function histogram(name: string, help: string, { bounds, distributions }: Histogram): MetricFamily {
  return { name, help, type: "histogram", bounds, distributions };
}
