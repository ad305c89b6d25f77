import { Deadline } from "../../lib/core/deadline.ts";
import { ConnectionError } from "../../lib/core/errors.ts";
import { Pauses } from "../../lib/core/pauses.ts";
import { type RequestWay, sendSingleRequest } from "../single_request.ts";
import type { TelemetryExport } from "./export_queue.ts";

/** Way to the collector. */
export interface CollectorWay extends RequestWay {
  /** Base URL. */
  readonly endpoint: URL;
  /** Headers that the parent adds. */
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds for one export with all its tries. */
  readonly timeoutMs: number;
}

/** Pauses between tries, in milliseconds. */
const PAUSES = { firstMs: 250, maxMs: 5000 };

/** Statuses after which OTLP says that the same export may be sent again. */
const RETRYABLE: readonly number[] = [429, 502, 503, 504];

/**
 * Sends an export, in tries until its deadline. The body of an answer is not read: however long it is, it costs nothing.
 *
 * @param item The export
 * @param way Way to the collector
 * @param signal Ends it
 * @returns The collector's status, when it took the export or will never take it
 * @throws {TimeoutError} When the deadline passes
 * @throws {CertificateError} When the collector's certificate is not accepted
 */
export async function sendExport(
  item: TelemetryExport,
  way: CollectorWay,
  signal: AbortSignal,
): Promise<number> {
  using deadline = new Deadline("send telemetry", way.timeoutMs, signal, "collector");
  const pauses = new Pauses(PAUSES);
  const url = new URL(way.endpoint.href.replace(/\/+$/, "") + item.path);
  const request = {
    url,
    method: "POST",
    headers: { ...way.headers, ...item.headers },
    body: item.body,
  } as const;
  for (;;) {
    try {
      using answer = await sendSingleRequest(request, way, deadline.signal);
      if (!RETRYABLE.includes(answer.status)) return answer.status;
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
    }
    pauses.begin();
    await deadline.sleep(pauses.remainingMs);
  }
}
