/**
 * Counters in Prometheus's text format. Every label's value comes from a fixed list, so that no input of
 * a caller can appear there, or make the text grow.
 *
 * @module
 */
import type { CredentialsState } from "../credential_store.ts";
import { joinOperations } from "../actions.ts";

/** Protocol of a request. */
export type Protocol = "http" | "kmstool";

const PROTOCOLS: readonly Protocol[] = ["http", "kmstool"];

/** Outcome of a request. */
export type Outcome = "ok" | "refused" | "denied" | "busy" | "timeout" | "gone" | "failed";

/** Upper bounds of the histogram, in seconds. */
const BUCKETS: readonly number[] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const HELP = {
  requests: "Requests by protocol, operation and outcome",
  seconds: "Time from a request's arrival to its answer",
  running: "Requests that wait for KMS, the NSM or a free slot",
  connections: "Open connections by protocol",
  displaced: "Connections closed, without a request in flight, for a new one at the limit",
  unheard: "Connections closed unheard at the limit, because each other had a request in flight",
  credentials: "Whether credentials are set (1) or not (0)",
  credentialsRefused: "Whether KMS refused the credentials (1), and has not taken them since, or not (0)",
  credentialsAge: "Time since the credentials were set",
  credentialsLeft: "Time until the credentials expire, below zero past it, where that is known",
  reloads: "Reloads of the policy by outcome",
} as const;

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
  /** Reads the state of the credentials of HTTP's callers. */
  credentials(): CredentialsState;
  /** Reads the effect of the connection limit, for a protocol that is served. */
  atLimit?(protocol: Protocol): AtLimit | undefined;
}

/** Counters of the server. */
export class Metrics {
  readonly #requests = new Map<string, number>();
  readonly #reloads = new Map<string, number>();
  readonly #connections: Record<Protocol, number> = { http: 0, kmstool: 0 };
  readonly #buckets: number[] = BUCKETS.map(() => 0);
  #seconds = 0;
  #count = 0;
  #sources: MetricsSources = { running: () => 0, credentials: () => ({ isSet: false, areRefused: false }) };

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

  /** Counts one answered request; `Other` stands for an operation without a name in the list. */
  countRequest(protocol: Protocol, operation: string, outcome: Outcome, seconds: number): void {
    const name = this.#operations.has(operation) ? operation : "Other";
    add(this.#requests, `protocol="${protocol}",operation="${name}",outcome="${outcome}"`);
    this.#seconds += seconds;
    this.#count++;
    for (const [index, bound] of BUCKETS.entries()) {
      if (seconds <= bound) this.#buckets[index] = (this.#buckets[index] ?? 0) + 1;
    }
  }

  /** Counts one reload of the policy. */
  countReload(outcome: "ok" | "failed"): void {
    add(this.#reloads, `outcome="${outcome}"`);
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
    const { running, credentials, atLimit } = this.#sources;
    const byProtocol = (count: (protocol: Protocol) => number) =>
      PROTOCOLS.map((protocol): Sample => [`protocol="${protocol}"`, count(protocol)]);
    return [
      family("requests_total", "counter", HELP.requests, [...this.#requests]),
      this.#histogram(),
      family("requests_running", "gauge", HELP.running, [["", running()]]),
      family("connections", "gauge", HELP.connections, byProtocol((name) => this.#connections[name])),
      family(
        "connections_displaced_total",
        "counter",
        HELP.displaced,
        byProtocol((name) => atLimit?.(name)?.displacedCount ?? 0),
      ),
      family(
        "connections_unheard_total",
        "counter",
        HELP.unheard,
        byProtocol((name) => atLimit?.(name)?.refusedCount ?? 0),
      ),
      ...credentialsFamilies(credentials()),
      family("policy_reloads_total", "counter", HELP.reloads, [...this.#reloads]),
    ].join("");
  }

  #histogram(): string {
    const name = "enclave_kms_request_seconds";
    const buckets = BUCKETS.map((bound, index) => `${name}_bucket{le="${bound}"} ${this.#buckets[index]}\n`);
    return `# HELP ${name} ${HELP.seconds}\n# TYPE ${name} histogram\n${buckets.join("")}` +
      `${name}_bucket{le="+Inf"} ${this.#count}\n${name}_sum ${this.#seconds}\n${name}_count ${this.#count}\n`;
  }
}

type Sample = readonly [labels: string, value: number];

function credentialsFamilies(
  { isSet, areRefused, ageSeconds, expireInSeconds }: CredentialsState,
): readonly string[] {
  const known = (seconds: number | undefined): Sample[] => seconds === undefined ? [] : [["", seconds]];
  return [
    family("credentials_set", "gauge", HELP.credentials, [["", isSet ? 1 : 0]]),
    family("credentials_refused", "gauge", HELP.credentialsRefused, [["", areRefused ? 1 : 0]]),
    family("credentials_age_seconds", "gauge", HELP.credentialsAge, known(ageSeconds)),
    family("credentials_expire_in_seconds", "gauge", HELP.credentialsLeft, known(expireInSeconds)),
  ];
}

function family(name: string, type: string, help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([labels, value]) =>
    `enclave_kms_${name}${labels === "" ? "" : `{${labels}}`} ${value}\n`
  );
  return `# HELP enclave_kms_${name} ${help}\n# TYPE enclave_kms_${name} ${type}\n${lines.join("")}`;
}

function add(counts: Map<string, number>, labels: string): void {
  counts.set(labels, (counts.get(labels) ?? 0) + 1);
}
