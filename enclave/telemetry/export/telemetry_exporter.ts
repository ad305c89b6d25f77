import { clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } from "node:timers";
import { Deadline } from "../../../lib/core/deadline.ts";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { type PauseLimits, Pauses } from "../../../lib/core/pauses.ts";
import { VERSION } from "../../../lib/core/version.ts";
import { Counter } from "../counters.ts";
import type { MetricFamily, Sample } from "../metric_family.ts";
import type { RequestLine } from "../request_line.ts";
import type { RequestRecord, RequestSink } from "../request_record.ts";
import { ExportQueue, type QueueLimits } from "./export_queue.ts";
import { encodeLog } from "./otlp_log.ts";
import { encodeMetrics } from "./otlp_metrics.ts";
import { encodeSpan } from "./otlp_span.ts";
import { attributesOf } from "./otlp_values.ts";
import { postExport } from "./post_export.ts";

/** Parts of a {@link TelemetryExporter}. */
export interface TelemetryExporterParts {
  /** Address of the parent's relay, or of a collector. */
  readonly endpoint: Endpoint;
  /** Attributes of the resource, by name. */
  readonly resource: Readonly<Record<string, string>>;
  /** Reads the metrics. */
  readonly families: () => readonly MetricFamily[];
  /**
   * Told when exports begin to fail, with the error or the status (0 when what answers is no HTTP), and when they work
   * again, with undefined. Must not throw.
   */
  readonly onChange?: ((failure: unknown) => void) | undefined;
  /** Limits in the place of the usual ones. */
  readonly limits?: Partial<TelemetryLimits> | undefined;
}

/** Limits of an exporter, times in milliseconds. */
export interface TelemetryLimits extends QueueLimits {
  /** Time between two exports of what is less than a batch. */
  readonly everyMs: number;
  /** Time between two exports of the metrics. */
  readonly metricsEveryMs: number;
  /** Time for one export. */
  readonly timeoutMs: number;
  /** Time for everything at the end. */
  readonly closeMs: number;
  /** Pauses after failures. */
  readonly pauses: PauseLimits;
}

const LIMITS: TelemetryLimits = {
  maxItems: 2048,
  maxBytes: 2 << 20,
  batchItems: 512,
  batchBytes: 512 << 10,
  everyMs: 5000,
  metricsEveryMs: 15_000,
  timeoutMs: 5000,
  closeMs: 1000,
  pauses: { firstMs: 1000, maxMs: 30_000 },
};

/** Number of times that one batch is sent before it is given up. */
const MAX_TRIES = 5;

/** Part of the queue for spans of minor requests: a flood of them must not push the others out. */
const MINOR_SHARE = 0.5;

/** Statuses after which OTLP says that the same export may be sent again, and that of no answer. */
const RETRYABLE: readonly number[] = [0, 429, 502, 503, 504];

/** End of an export. */
type Outcome = "sent" | "rejected" | "failed";

/**
 * Exporter of spans, log lines and metrics by OTLP over HTTP, in JSON. Requests hand over what is to be sent and wait
 * for nothing. What waits is bounded, and what is lost is counted. One export is under way at a time.
 *
 * Not guaranteed: delivery, or privacy. Whoever is on the way reads it.
 */
export class TelemetryExporter implements RequestSink, AsyncDisposable {
  readonly #parts: TelemetryExporterParts;
  readonly #limits: TelemetryLimits;
  /** Spans, and log lines. */
  readonly #queues: readonly [ExportQueue, ExportQueue];
  readonly #metricsHead: string;
  readonly #counts = new Counter("signal", "outcome");
  readonly #pauses: Pauses;
  readonly #ended = new AbortController();
  readonly #startMs = Date.now();
  #metricsDueAt = 0;
  #isFailing = false;
  #timer: ReturnType<typeof setInterval> | undefined;
  #running: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  /** @param parts Address, resource and metrics */
  constructor(parts: TelemetryExporterParts) {
    this.#parts = parts;
    this.#limits = { ...LIMITS, ...parts.limits };
    this.#pauses = new Pauses(this.#limits.pauses);
    const head = (kind: string, items: string) =>
      `{"resource${kind}":[{"resource":{"attributes":${
        attributesOf(parts.resource)
      }},"scope${kind}":[{"scope":` +
      `{"name":"enclave-kms","version":"${VERSION}"},"${items}":[`;
    this.#queues = [
      new ExportQueue("traces", head("Spans", "spans"), this.#limits),
      new ExportQueue("logs", head("Logs", "logRecords"), this.#limits),
    ];
    this.#metricsHead = head("Metrics", "metrics");
  }

  /**
   * Number of items by signal and outcome: sent; no room for it (`full`); refused by the collector (`rejected`); not
   * delivered after some tries (`failed`); left at the end (`closed`). Of metrics an item is one export.
   */
  get counts(): readonly Sample[] {
    return this.#counts.samples;
  }

  /** Bytes of spans and log lines that wait or are under way. */
  get waitingBytes(): number {
    const [spans, logs] = this.#queues;
    return spans.bytes + logs.bytes;
  }

  /** Begins to send from time to time. */
  start(): void {
    this.#timer = setInterval(() => void this.#run(true), this.#limits.everyMs).unref();
  }

  /** See {@link RequestSink.take}. */
  take(record: RequestRecord, line: RequestLine, isMinor: boolean): void {
    this.#add(this.#queues[0], encodeSpan(record, line, Date.now()), isMinor ? MINOR_SHARE : 1);
  }

  /**
   * Takes a line of the log.
   *
   * @param line Line of JSON in ASCII, with its newline
   */
  takeLine(line: string): void {
    this.#add(this.#queues[1], encodeLog(line.trimEnd(), Date.now()), 1);
  }

  /** Sends what waits, within a second, and drops the rest. Closing twice is harmless; never rejects. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** The same as {@link TelemetryExporter.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #add(queue: ExportQueue, item: string, share: number): void {
    if (!queue.add(item, share)) return this.#counts.add(queue.signal, "full");
    // Behind the answer of the request that filled the batch.
    if (queue.isDue && this.#running === undefined && this.#pauses.areOver) setImmediate(() => this.#run());
  }

  /** Sends what is due, unless that is under way, or a pause is. Never rejects. */
  async #run(isFlush = false): Promise<void> {
    if (isFlush) { for (const queue of this.#queues) queue.flush(); }
    if (this.#pauses.areOver) {
      await (this.#running ??= this.#sendDue().finally(() => this.#running = undefined));
    }
  }

  /**
   * Sends what is due, one batch of each kind in turn. What comes meanwhile waits until it is a batch: sent at once, it would
   * be one export for each handful of requests, which costs more than the requests do.
   */
  async #sendDue(): Promise<void> {
    do {
      if (performance.now() >= this.#metricsDueAt && !await this.#sendMetrics()) return;
      for (const queue of this.#queues) {
        if (queue.isDue && !await this.#sendBatch(queue)) return;
      }
    } while (this.#queues.some(({ isDue }) => isDue));
  }

  /** Sends the values of now. An export that fails is not sent again: the next one has newer values. */
  async #sendMetrics(): Promise<boolean> {
    const metrics = encodeMetrics(this.#parts.families(), this.#startMs, Date.now());
    this.#metricsDueAt = performance.now() + this.#limits.metricsEveryMs;
    const outcome = await this.#post("metrics", this.#metricsHead + metrics);
    this.#counts.add("metrics", outcome);
    return outcome !== "failed";
  }

  async #sendBatch(queue: ExportQueue): Promise<boolean> {
    const items = queue.first();
    const outcome = await this.#post(queue.signal, queue.head + items.join());
    const isFailed = outcome === "failed";
    if (!isFailed || ++queue.tries === MAX_TRIES) this.#drop(queue, items.length, outcome);
    return !isFailed;
  }

  #drop(queue: ExportQueue, count: number, outcome: string): void {
    queue.remove(count);
    while (count-- > 0) this.#counts.add(queue.signal, outcome);
  }

  async #post(signal: string, json: string): Promise<Outcome> {
    const { endpoint, onChange } = this.#parts;
    using deadline = new Deadline("send telemetry", this.#limits.timeoutMs, this.#ended.signal, "collector");
    let failure: unknown;
    const status = await postExport(endpoint, `/v1/${signal}`, `${json}]}]}]}`, deadline.signal)
      .catch((error) => {
        failure = error;
        return 0;
      });
    const outcome = RETRYABLE.includes(status) ? "failed" : status < 300 ? "sent" : "rejected";
    if (outcome === "failed") this.#pauses.begin();
    else this.#pauses.reset();
    const isFailing = outcome !== "sent";
    if (isFailing !== this.#isFailing) onChange?.(isFailing ? failure ?? status : undefined);
    this.#isFailing = isFailing;
    return outcome;
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    const timer = setTimeout(() => this.#ended.abort(), this.#limits.closeMs);
    await this.#running;
    this.#pauses.reset();
    this.#metricsDueAt = 0;
    await this.#run(true);
    clearTimeout(timer);
    for (const queue of this.#queues) this.#drop(queue, queue.count, "closed");
  }
}
