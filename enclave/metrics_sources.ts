import type { KmsTime } from "./callers/kms_time.ts";
import type { EnclaveService } from "./service.ts";
import type { MetricsSources } from "./telemetry/metrics.ts";

/**
 * Makes the sources of the values that metrics look up.
 *
 * @param service KMS and its credentials
 * @param time KMS's clock
 * @param atLimit Reads the effect of the connection limit, for a protocol that is served
 */
export function metricsSources(
  service: EnclaveService,
  time: KmsTime,
  atLimit: Required<MetricsSources>["atLimit"],
): MetricsSources {
  return {
    running: () => service.pacing.inside,
    turns: () => service.turnLimit,
    throttled: () => service.pacing.throttledCount,
    clockOffset: () => time.offsetSeconds,
    credentials: () => service.scope.credentials.state,
    atLimit,
  };
}
