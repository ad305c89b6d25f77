import { checkFields, checkInteger, checkText } from "../../lib/core/checks.ts";
import { MAX_TIMEOUT_MS } from "../../lib/core/deadline.ts";
import { type Endpoint, PARENT_CID } from "../../lib/core/endpoint.ts";
import { ProtocolError } from "../../lib/core/errors.ts";
import { checkBridgedPort } from "../../lib/transport/enclave_ports.ts";
import { type HttpServer, serve } from "../../lib/transport/serve.ts";
import { vsockToListen } from "../../lib/transport/vsock_place.ts";
import { ExportQueue } from "./export_queue.ts";
import { type CollectorWay, sendExport } from "./send_export.ts";
import { takeExport } from "./take_export.ts";
import { checkAddedHeaders, checkCollector } from "./telemetry_settings.ts";

/** Vsock port that enclaves send telemetry to: OTLP's over HTTP. */
export const DEFAULT_TELEMETRY_PORT = 4318;

/** Reason why an export was dropped: no room, refused by the collector, not delivered in time, or closed before. */
export type TelemetryDrop = "full" | "rejected" | "failed" | "closed";

/** Collector and limits of a {@link TelemetryRelay}. Only `endpoint` must be given. */
export interface TelemetryRelayOptions {
  /** Base URL of the collector, `https:` or `http:`; `/v1/traces`, `/v1/metrics` or `/v1/logs` is appended. */
  readonly endpoint: string | URL;
  /** Vsock port of the parent, 1 to 2^32 - 2. Default: 4318. */
  readonly port?: number | undefined;
  /** Headers that the parent adds, such as a key of the collector's. The enclave's own are not passed on. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Certificates to trust in place of the runtime's, PEM. */
  readonly trustedCertificates?: string | undefined;
  /** Milliseconds for one export with all its tries, 10 to 2147483647. Default: 10000. */
  readonly timeoutMs?: number | undefined;
  /** Milliseconds for the body of an export to come, 10 to 2147483647. Default: 10000. */
  readonly bodyTimeoutMs?: number | undefined;
  /** Largest body of an export, in bytes, 1 to 16777216; a larger one is answered with 413. Default: 1048576. */
  readonly maxBodyBytes?: number | undefined;
  /**
   * Most bytes of bodies that are read, wait or are sent, 1024 to 2^30. An enclave may hold as many as are free, so that
   * none fills it: half of them, when it is alone. At least twice `maxBodyBytes`. Default: 16777216.
   */
  readonly maxQueuedBytes?: number | undefined;
  /** Most exports of that kind, 1 to 65536, shared in the same way. Default: 512. */
  readonly maxQueued?: number | undefined;
  /** Exports that are sent at once, 1 to 64. Default: 4. */
  readonly maxSending?: number | undefined;
  /** Connections of enclaves at once, 1 to 10000. Default: 64. */
  readonly maxConnections?: number | undefined;
  /** Is told of each export that is dropped, and the error where there is one; must not throw. */
  readonly onDrop?: ((reason: TelemetryDrop, error?: unknown) => void) | undefined;
  /** Folder in which unix sockets stand for vsock, on a laptop. Default: vsock itself. */
  readonly simulationFolder?: string | undefined;
}

/** Counts of a relay since its start, but for the queue's. */
export interface TelemetryCounters {
  /** Exports taken from enclaves. */
  readonly takenCount: number;
  /** Exports that the collector took. */
  readonly sentCount: number;
  /** Requests that are no export: another method, path or form, or too large. */
  readonly refusedCount: number;
  /** Exports dropped because there was no room. */
  readonly fullCount: number;
  /** Exports dropped because the collector refused them. */
  readonly rejectedCount: number;
  /** Exports dropped because the collector was not reached in time. */
  readonly failedCount: number;
  /** Exports dropped because the relay was closed. */
  readonly closedCount: number;
  /** Exports that are read, wait or are sent now. */
  readonly queuedCount: number;
  /** Bytes of their bodies. */
  readonly queuedBytes: number;
}

type Counts = { -readonly [Name in Exclude<keyof TelemetryCounters, "queuedCount" | "queuedBytes">]: number };

/**
 * Relay of telemetry from enclaves to a collector, by OTLP over HTTP. It takes POST of `/v1/traces`, `/v1/metrics` and
 * `/v1/logs` only, answers at once, and sends from a bounded queue: a collector that is dead, slow or endless holds no
 * enclave up. What there is no room for is answered with 503 and counted, and what is not delivered in time is counted.
 *
 * Of the enclave's headers only `content-type` and `content-encoding` are passed on; credentials are the parent's to add.
 *
 * Not guaranteed: privacy, or delivery. The parent reads the telemetry, may change it, and an answer says that it was
 * taken, not that it arrived. Nor is it known which enclave or process of the instance sent it.
 *
 * @example
 * ```ts
 * import { TelemetryRelay } from "enclave-kms/parent";
 * import { mkdtempSync } from "node:fs";
 *
 * const simulationFolder = mkdtempSync("/tmp/enclave-kms-"); // on an instance: leave it out
 * const endpoint = "https://collector.example:4318";
 * await using relay = await TelemetryRelay.open({ endpoint, simulationFolder });
 * relay.counters.takenCount; // 0
 * ```
 */
export class TelemetryRelay implements AsyncDisposable {
  readonly #server: HttpServer;
  readonly #queue: ExportQueue;
  readonly #counts: Counts;
  readonly #drop: (reason: TelemetryDrop, error?: unknown) => void;
  readonly #ended = new AbortController();
  #sending: Promise<unknown> = Promise.resolve();

  private constructor(
    server: HttpServer,
    queue: ExportQueue,
    counts: Counts,
    drop: (reason: TelemetryDrop, error?: unknown) => void,
  ) {
    this.#server = server;
    this.#queue = queue;
    this.#counts = counts;
    this.#drop = drop;
  }

  /**
   * Opens the relay.
   *
   * @param options Collector and limits
   * @returns The relay. Dispose it with `await using`, or close it
   * @throws {TypeError} When an option is unknown or malformed
   * @throws {RangeError} When a number is out of range, or the vsock port is one where enclaves take secrets
   * @throws {ConnectionError} When the vsock port is taken, or there is no vsock in this kernel
   * @throws {LibraryLoadError} On Node, when libc cannot be called for vsock
   */
  static async open(options: TelemetryRelayOptions): Promise<TelemetryRelay> {
    const { port, simulationFolder, way, limits, maxSending, serving, onDrop } = checkOptions(options);
    const queue = new ExportQueue(limits);
    const counts: Counts = {
      ...{ takenCount: 0, sentCount: 0, refusedCount: 0 },
      ...{ fullCount: 0, rejectedCount: 0, failedCount: 0, closedCount: 0 },
    };
    const drop = (reason: TelemetryDrop, error?: unknown) => {
      counts[`${reason}Count`]++;
      onDrop(reason, error);
    };
    const endpoint = await vsockToListen(PARENT_CID, port, simulationFolder);
    const destination = { queue, maxBodyBytes: limits.maxBodyBytes };
    const server = await serve(async (request, { remoteCid }) => {
      const taken = await takeExport(request, remoteCid, destination);
      if (taken.outcome === "full") drop("full");
      else counts[`${taken.outcome}Count`]++;
      return taken.response;
    }, { endpoint, onError: () => brokenOff(counts), ...serving, ...SERVER_LIMITS });
    const relay = new TelemetryRelay(server, queue, counts, drop);
    relay.#sending = Promise.all(Array.from({ length: maxSending }, () => relay.#send(way)));
    return relay;
  }

  /** Address that it listens on. */
  get endpoint(): Endpoint {
    return this.#server.endpoint;
  }

  /** Counts so far. */
  get counters(): TelemetryCounters {
    return { ...this.#counts, queuedCount: this.#queue.count, queuedBytes: this.#queue.bytes };
  }

  /**
   * Takes no more, sends what waits, and drops what is left after the grace period.
   *
   * @param options `graceMs`: milliseconds, 0 to 2147483647. Default: 5000
   */
  async close(options: { readonly graceMs?: number | undefined } = {}): Promise<void> {
    const { graceMs } = checkFields("close options", options, ["graceMs"]);
    const patienceMs = checkInteger("graceMs", graceMs, { min: 0, max: MAX_TIMEOUT_MS, default: 5000 });
    const endsAt = performance.now() + patienceMs;
    await this.#server.close({ graceMs: patienceMs });
    while (this.#queue.count > 0 && performance.now() < endsAt) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_CHECK_MS));
    }
    await this[Symbol.asyncDispose]();
  }

  /** Takes no more, and drops what waits. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#server[Symbol.asyncDispose]();
    await this.#sending;
    for (let left = this.#queue.clear(); left > 0; left--) this.#drop("closed");
  }

  /** Sends one export after the other until the end. */
  async #send(way: CollectorWay): Promise<void> {
    const { signal } = this.#ended;
    for (
      let next = await this.#queue.take(signal);
      next !== undefined;
      next = await this.#queue.take(signal)
    ) {
      try {
        const status = await sendExport(next.item, way, signal);
        if (status >= 200 && status < 300) this.#counts.sentCount++;
        else this.#drop("rejected", rejected(status));
      } catch (error) {
        this.#drop(signal.aborted ? "closed" : "failed", error);
      } finally {
        next.leave();
      }
    }
  }
}

/** Limits of the server. Bodies are counted by the relay, so that those that are too large are counted as refused. */
const SERVER_LIMITS = { maxBodyBytes: Number.MAX_SAFE_INTEGER, maxHeaderBytes: 8192 };

function brokenOff(counts: Counts): Response {
  counts.refusedCount++;
  return new Response(null, { status: 400 });
}

function rejected(status: number): ProtocolError {
  return new ProtocolError(`Cannot send telemetry: the collector answered with status ${status}`, {
    hint: "Does the collector want a key (OTEL_EXPORTER_OTLP_HEADERS), or is its URL another one?",
  });
}

/** Milliseconds between two looks at a queue that drains. */
const DRAIN_CHECK_MS = 20;

const FIELDS: readonly string[] = [
  ...["endpoint", "port", "headers", "trustedCertificates", "timeoutMs", "bodyTimeoutMs"],
  ...[
    "maxBodyBytes",
    "maxQueuedBytes",
    "maxQueued",
    "maxSending",
    "maxConnections",
    "onDrop",
    "simulationFolder",
  ],
];

function checkOptions(given: TelemetryRelayOptions) {
  const options = checkFields("telemetry relay options", given, FIELDS);
  const { headers = {}, trustedCertificates, onDrop = () => {}, simulationFolder } = options;
  const integer = (name: keyof TelemetryRelayOptions, min: number, max: number, fallback: number) =>
    checkInteger(name, options[name], { min, max, default: fallback });
  if (typeof onDrop !== "function") throw new TypeError("onDrop must be a function");
  if (trustedCertificates !== undefined) checkText("trustedCertificates", trustedCertificates, 1 << 20);
  const timeoutMs = integer("timeoutMs", 10, MAX_TIMEOUT_MS, 10_000);
  const maxBodyBytes = integer("maxBodyBytes", 1, 1 << 24, 1 << 20);
  const bodyTimeoutMs = integer("bodyTimeoutMs", 10, MAX_TIMEOUT_MS, 10_000);
  const maxBytes = integer("maxQueuedBytes", 1024, 1 << 30, 1 << 24);
  if (maxBytes < 2 * maxBodyBytes) throw new RangeError("maxQueuedBytes must be at least twice maxBodyBytes");
  const way = {
    ...{ peer: "the collector", trustedCertificates, timeoutMs, idleTimeoutMs: timeoutMs },
    endpoint: checkCollector(options.endpoint),
    headers: checkAddedHeaders(headers),
  };
  return {
    ...{ way, onDrop, simulationFolder },
    port: checkBridgedPort("port", options.port ?? DEFAULT_TELEMETRY_PORT, undefined),
    limits: { maxBytes, maxBodyBytes, maxCount: integer("maxQueued", 1, 65_536, 512) },
    maxSending: integer("maxSending", 1, 64, 4),
    serving: {
      maxConnections: integer("maxConnections", 1, 10_000, 64),
      bodyTimeoutMs,
      headersTimeoutMs: Math.min(bodyTimeoutMs, 10_000),
    },
  };
}
