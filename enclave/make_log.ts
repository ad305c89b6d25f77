import { joinOperations } from "./actions.ts";
import type { BaseConfig } from "./base_config.ts";
import type { RuntimeOptions, RuntimeParts } from "./runtime_options.ts";
import { openTelemetry } from "./telemetry/open_telemetry.ts";
import type { TelemetryExporter } from "./telemetry/export/telemetry_exporter.ts";
import { createLogger } from "./telemetry/log.ts";
import { Metrics } from "./telemetry/metrics.ts";
import { RefusalLog } from "./telemetry/refusal_log.ts";
import type { RequestLog } from "./telemetry/request_record.ts";

/** Log and metrics of an application, and the exporter of both. */
export interface ApplicationLog {
  /** Destination of request records. */
  readonly requestLog: RequestLog;
  /** Exporter, if the settings ask for one. */
  readonly telemetry: TelemetryExporter | undefined;
}

/**
 * Makes log and metrics of an application, and the exporter of both where the settings ask for one.
 *
 * @param config Settings after every check
 * @param parts Parts in the place of the real ones
 * @param options Name and actions of the application
 * @param bootId Id of this boot
 */
export function makeLog(
  { logLevel, rateWindowSeconds, telemetry: endpoint }: BaseConfig,
  { logger = createLogger(logLevel) }: RuntimeParts,
  { name, actions }: Pick<RuntimeOptions, "name" | "actions">,
  bootId: string,
): ApplicationLog {
  const metrics = new Metrics(joinOperations(actions));
  const telemetry = openTelemetry(endpoint, { logger, metrics, name, bootId });
  const refusals = new RefusalLog({ logger, rateWindowSeconds });
  return { requestLog: { logger, metrics, refusals, sink: telemetry }, telemetry };
}
