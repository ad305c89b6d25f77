import { VERSION } from "../../lib/core/version.ts";
import type { ParentService } from "./parts.ts";
import { PARENT_STAGES, type ParentState } from "./parent_state.ts";
import type { RelayedMetrics } from "./relay_metrics.ts";

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number | undefined];

/** Counters of the services, with the words of their help; those of bridges and of the telemetry relay. */
const COUNTERS: Readonly<Record<string, string>> = {
  openCount: "Connections that are open",
  acceptedCount: "Connections that were accepted",
  refusedCount: "Connections closed unheard, or exports that are none",
  failedCount: "Connections whose target was not reached or not wanted, or exports that were not delivered",
  brokenCount: "Connections that a peer broke off",
  idleCount: "Connections closed because they were idle",
  bytesToTarget: "Bytes from those that connected",
  bytesFromTarget: "Bytes from the targets",
  takenCount: "Exports taken from enclaves",
  sentCount: "Exports that the collector took",
  fullCount: "Exports dropped because there was no room",
  rejectedCount: "Exports dropped because the collector refused them",
  closedCount: "Exports dropped because the relay was closed",
  queuedCount: "Exports that wait or are sent",
  queuedBytes: "Bytes of exports that wait or are sent",
};

/** Counters that go down as well. */
const GAUGES: readonly string[] = ["openCount", "queuedCount", "queuedBytes"];

/**
 * Renders the parent's metrics in Prometheus's text format, version 0.0.4. Each value is one that was seen: what is not
 * known is left out.
 *
 * @param state State of the parent
 * @param services Services that are open
 * @param relayed The enclave's own metrics; undefined when it gives none
 */
export function renderParentMetrics(
  state: ParentState,
  services: readonly ParentService[],
  relayed: RelayedMetrics | undefined,
): string {
  return [
    family("info", "gauge", "Version of this program", [[{ version: VERSION }, 1]]),
    ...stateFamilies(state),
    ...enclaveFamilies(state),
    ...Object.entries(COUNTERS).map(([field, help]) => serviceFamily(field, help, services)),
    family("enclave_metrics_up", "gauge", "Whether the enclave gives metrics of its own (1) or not (0)", [
      [{}, relayed === undefined ? 0 : 1],
    ]),
    family("enclave_metrics_dropped", "gauge", "Lines of the enclave's metrics that were left out", [
      [{}, relayed?.droppedCount],
    ]),
    relayed?.text ?? "",
  ].join("");
}

function serviceFamily(field: string, help: string, services: readonly ParentService[]): string {
  const isGauge = GAUGES.includes(field);
  const name = field.replace(/Count$/, "").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return family(
    `service_${name}${isGauge ? "" : "_total"}`,
    isGauge ? "gauge" : "counter",
    help,
    services.map(({ kind, address, counters }): Sample => [{ service: kind, address }, counters[field]]),
  );
}

function stateFamilies(state: ParentState): readonly string[] {
  const { lastFailure, credentials } = state;
  return [
    family(
      "stage",
      "gauge",
      "Step that the parent is at (1)",
      PARENT_STAGES.map((stage) => [{ stage }, stage === state.stage ? 1 : 0]),
    ),
    family("launches_total", "counter", "Enclaves that were launched", [[{}, state.launchCount]]),
    family("failures_total", "counter", "Starts and runs that failed", [[{}, state.failureCount]]),
    family(
      "last_failure_timestamp_seconds",
      "gauge",
      "Time of the last failure",
      lastFailure === undefined
        ? []
        : [[{ stage: lastFailure.stage, code: lastFailure.code }, lastFailure.atMs / 1000]],
    ),
    family("credentials_pushes_total", "counter", "Pushes of credentials to the enclave that runs", [
      [{}, credentials?.counts.pushed],
    ]),
    family("credentials_failures_total", "counter", "Questions for credentials, and pushes, that failed", [
      [{}, credentials && credentials.counts.sourceFailed + credentials.counts.sendFailed],
    ]),
    family("credentials_expire_in_seconds", "gauge", "Time until the pushed credentials expire", [
      [
        {},
        credentials?.expiresAtMs === undefined ? undefined : (credentials.expiresAtMs - Date.now()) / 1000,
      ],
    ]),
  ];
}

function enclaveFamilies({ enclave, isReady, lastEnd }: ParentState): readonly string[] {
  return [
    family("enclave_running", "gauge", "Whether there is an enclave (1) or not (0)", [
      [{}, enclave === undefined ? 0 : 1],
    ]),
    family("enclave_ready", "gauge", "Whether the enclave said last that it is ready (1) or not (0)", [
      [{}, isReady ? 1 : 0],
    ]),
    family(
      "enclave_debug",
      "gauge",
      "Whether the enclave runs in debug mode (1), in which it is open, or not (0)",
      [
        [{}, enclave === undefined ? undefined : enclave.isDebug ? 1 : 0],
      ],
    ),
    family("enclave_launch_timestamp_seconds", "gauge", "Time of the enclave's launch", [
      [{}, enclave === undefined ? undefined : enclave.launchedAtMs / 1000],
    ]),
    family(
      "enclave_last_end_timestamp_seconds",
      "gauge",
      "Time at which the last enclave ended",
      lastEnd === undefined ? [] : [[{ asked: String(lastEnd.wasAskedFor) }, lastEnd.atMs / 1000]],
    ),
    family("enclave_last_exit_code", "gauge", "Exit code of the last process that stood for an enclave", [
      [{}, lastEnd?.exitCode],
    ]),
  ];
}

function family(name: string, type: string, help: string, samples: readonly Sample[]): string {
  const lines = samples.filter(([, value]) => value !== undefined).map(([labels, value]) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escape(text)}"`).join(",");
    return `enclave_kms_parent_${name}${pairs === "" ? "" : `{${pairs}}`} ${value}\n`;
  });
  if (lines.length === 0) return "";
  return `# HELP enclave_kms_parent_${name} ${help}\n# TYPE enclave_kms_parent_${name} ${type}\n${
    lines.join("")
  }`;
}

function escape(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
