import type { Endpoint } from "../../lib/core/endpoint.ts";
import { type Logger, tapLogger } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { describeFailure } from "./request_line.ts";
import { TelemetryExporter } from "./export/telemetry_exporter.ts";

/** Parts that telemetry is taken from. */
export interface TelemetrySources {
  /** Log whose lines are exported. */
  readonly logger: Logger;
  /** Metrics that are exported, and get the exporter's own. */
  readonly metrics: Metrics;
  /** Name of the application. */
  readonly name: string;
  /** Id of this boot. */
  readonly bootId: string;
}

/**
 * Makes the exporter of an application, if its image asks for one. It sends nothing before its `start()`.
 *
 * @param endpoint Setting `telemetry`; null is off
 * @param sources Log, metrics, and names
 * @returns The exporter; close it. Undefined when it is off
 */
export function openTelemetry(
  endpoint: Endpoint | null,
  { logger, metrics, name, bootId }: TelemetrySources,
): TelemetryExporter | undefined {
  if (endpoint === null) return undefined;
  const exporter = new TelemetryExporter({
    endpoint,
    resource: { "service.name": name, "service.instance.id": bootId },
    families: () => metrics.families,
    onChange: (failure) => {
      if (failure === undefined) return logger.info("telemetry is sent again");
      const reason = typeof failure === "number"
        ? { status: failure }
        : { failure: describeFailure(failure) };
      logger.warn(reason, "telemetry cannot be sent");
    },
  });
  metrics.observeTelemetry(exporter);
  logger.info({ telemetry: endpoint }, "telemetry leaves the enclave, where the parent reads it");
  if (!tapLogger(logger, (line) => exporter.takeLine(line))) {
    logger.warn("the lines of a logger of the application's own are not exported");
  }
  return exporter;
}
