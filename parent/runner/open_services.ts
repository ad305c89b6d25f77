import process from "node:process";
import { ConnectionError, EnclaveKmsError } from "../../lib/core/errors.ts";
import type { BridgeOptions } from "../../lib/transport/bridge.ts";
import { EgressBridge } from "../egress_bridge.ts";
import { IngressBridge } from "../ingress_bridge.ts";
import { KmsProxy } from "../kms_proxy.ts";
import type { Environment } from "../kms_proxy_settings.ts";
import type { Lookup } from "../name_resolver.ts";
import { secretPortsOf } from "../settings/parent_settings.ts";
import type { ParentSettings } from "../settings/setting_table.ts";
import { TelemetryRelay } from "../telemetry/telemetry_relay.ts";
import { readTelemetrySettings } from "../telemetry/telemetry_settings.ts";
import { TlsRelay } from "../tls_relay.ts";
import type { OnParentEvent } from "./parent_state.ts";
import type { ParentService } from "./parts.ts";

/** Shortest time between two reports of failed connections of one service, in milliseconds. */
const REPORT_MS = 10_000;

interface Opened extends AsyncDisposable {
  readonly counters: object;
}

type Limits = Pick<BridgeOptions, "onFailure">;

const HINT = { hint: "Does the collector take what the enclave sends, and keep up with it?" };

/** Service to open. */
interface Plan {
  readonly kind: string;
  readonly address: string;
  open(limits: Limits): Promise<Opened>;
}

/**
 * Opens the services that the settings ask for, all or none.
 *
 * @param settings Settings of the parent
 * @param onEvent Is told of connections that fail, now and then
 * @param lookup Finds the addresses of names. Default: the system's resolver
 * @param environment Environment with the headers for the collector, which are secrets and hence no settings. Default:
 *   the process's
 * @returns The services, in order
 * @throws {ConnectionError} When a port is taken, or there is no vsock
 * @throws {RangeError} When a bridge would lead to a port that is the parent's only
 */
export async function openServices(
  settings: ParentSettings,
  onEvent: OnParentEvent,
  lookup?: Lookup,
  environment: Environment = process.env,
): Promise<readonly ParentService[]> {
  const services: ParentService[] = [];
  try {
    for (const { kind, address, open } of plansOf(settings, lookup, environment)) {
      const opened = await open({ onFailure: reporter(kind, onEvent) });
      services.push({
        kind,
        address,
        get counters() {
          return { ...opened.counters } as Readonly<Record<string, number>>;
        },
        [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
      });
    }
  } catch (error) {
    await Promise.allSettled(services.map((service) => service[Symbol.asyncDispose]()));
    throw error;
  }
  return services;
}

function plansOf(
  settings: ParentSettings,
  lookup: Lookup | undefined,
  environment: Environment,
): readonly Plan[] {
  const { simulationFolder, enclaveCid, controlPort, tlsRelay, ingress, egress } = settings;
  const secretPorts = secretPortsOf(settings);
  return [
    ...settings.kmsProxyEnable ? [proxyPlan(settings, lookup)] : [],
    ...tlsRelay === undefined ? [] : [{
      kind: "tls-relay",
      address: `vsock:${tlsRelay.port}`,
      open: (limits: object) => TlsRelay.open({ ...tlsRelay, simulationFolder, lookup, ...limits }),
    }],
    ...ingress.map((bridge): Plan => ({
      kind: "ingress",
      address: `tcp:${bridge.host ?? "127.0.0.1"}:${bridge.port}`,
      open: (limits) =>
        IngressBridge.open({ ...bridge, enclaveCid, controlPort, secretPorts, simulationFolder, ...limits }),
    })),
    ...egress.map((bridge): Plan => ({
      kind: "egress",
      address: `vsock:${bridge.port}`,
      open: (limits) => EgressBridge.open({ ...bridge, simulationFolder, ...limits }),
    })),
    ...settings.telemetryEndpoint === undefined ? [] : [telemetryPlan(settings, environment)],
  ];
}

function telemetryPlan(settings: ParentSettings, environment: Environment): Plan {
  const { telemetryEndpoint, telemetryPort: port, simulationFolder } = settings;
  const collector = readTelemetrySettings({
    ...environment,
    OTEL_EXPORTER_OTLP_ENDPOINT: telemetryEndpoint,
  });
  return {
    kind: "telemetry",
    address: `vsock:${port}`,
    open: ({ onFailure }) =>
      TelemetryRelay.open({
        endpoint: "",
        ...collector,
        port,
        simulationFolder,
        onDrop: (reason, error) =>
          onFailure?.(error ?? new ConnectionError(`Cannot relay an export: ${reason}`, HINT)),
      }),
  };
}

function proxyPlan(settings: ParentSettings, lookup: Lookup | undefined): Plan {
  const { region, kmsProxyPorts: ports, kmsProxyDestHost: host, kmsProxyDestPort: port } = settings;
  const { simulationFolder } = settings;
  const allow = host === undefined ? undefined : [{ name: host, port }];
  return {
    kind: "kms-proxy",
    address: `vsock:${ports.join(",")}`,
    open: (limits) =>
      KmsProxy.open({ region, ports, host, port, allow, simulationFolder, lookup, ...limits }),
  };
}

/** Reports the first failure of a connection, and later ones after a while: there may be thousands a second. */
function reporter(kind: string, onEvent: OnParentEvent): (error: unknown) => void {
  let last = -Infinity;
  return (error) => {
    if (performance.now() - last < REPORT_MS) return;
    last = performance.now();
    const reason = error instanceof EnclaveKmsError
      ? `${error.code}, ${error.message}`
      : "an unexpected error";
    onEvent({ event: "notice", message: `${kind}: a connection failed: ${reason}` });
  };
}
