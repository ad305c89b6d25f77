import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { CredentialSource } from "../credentials/source_question.ts";
import { chainCredentials } from "../chain_credentials.ts";
import { imdsCredentials } from "../instance_credentials.ts";
import { readArtefact, type ReadArtefactOptions } from "../artefacts/read_artefact.ts";
import type { EnclaveConnector } from "../connector/enclave_connector.ts";
import { NitroConnector } from "../connector/nitro_connector.ts";
import { SimulationConnector } from "../connector/simulation_connector.ts";
import type { Environment } from "../kms_proxy_settings.ts";
import { launchEnclave } from "../launch_enclave.ts";
import { launchSimulation } from "../launch_simulation.ts";
import type { Lookup } from "../name_resolver.ts";
import type { RunningEnclave } from "../running_enclave.ts";
import { allSecrets } from "../settings/parent_settings.ts";
import type { ParentSettings, SecretSetting } from "../settings/setting_table.ts";
import { ConnectedEnclave, type ControlRoute } from "./connected_enclave.ts";
import { CredentialsKeeper } from "./credentials_keeper.ts";
import { openServices } from "./open_services.ts";
import type { OnParentEvent } from "./parent_state.ts";
import type { ParentParts, SealedSecret } from "./parts.ts";

/** Launcher of an enclave, in the place of nitro-cli. */
export type Launch = (signal: AbortSignal) => Promise<RunningEnclave>;

/** Settings of the parts, and what a program may replace. */
export interface PartsOptions {
  /** Settings. */
  readonly settings: ParentSettings;
  /** Is told of what happens. */
  readonly onEvent: OnParentEvent;
  /** Source of credentials. Default: the one that the settings name. */
  readonly credentials?: CredentialSource | undefined;
  /** Finds the addresses of names, for the proxy and the relay. Default: the system's resolver. */
  readonly lookup?: Lookup | undefined;
  /** Launches the enclave. Default: nitro-cli or, in a simulation, the command of the settings. */
  readonly launch?: Launch | undefined;
  /** Makes the connector to an enclave that was launched. Default: one to the address of the settings. */
  readonly connect?: ((enclave: RunningEnclave) => EnclaveConnector) | undefined;
  /** Variables for the application of a simulation. Default: those of this process, without AWS's. */
  readonly environment?: Environment | undefined;
}

/**
 * Makes the parts that a parent consists of.
 *
 * @param options Settings
 */
export function realParts(options: PartsOptions): ParentParts {
  const { settings, onEvent, lookup, connect = () => connectorTo(settings) } = options;
  const source = options.credentials ?? sourceOf(settings);
  const keeper = source && new CredentialsKeeper({
    source,
    aheadMs: settings.credentialsAheadSeconds * 1000,
    to: settings.credentialsTo,
    port: settings.credentialsPort,
    onEvent,
  });
  const routeOf = ({ cid }: RunningEnclave): ControlRoute => {
    const { controlPort, simulationFolder } = settings;
    return { cid, controlPort, simulationFolder };
  };
  return {
    checkCredentials: keeper && ((signal) => keeper.check(signal)),
    readSecrets: (signal) => readSecrets(settings, source, signal),
    openServices: () => openServices(settings, onEvent, lookup),
    launch: options.launch ?? launcherOf(options),
    converse: (enclave) => new ConnectedEnclave(connect(enclave), routeOf(enclave)),
    startPushing: keeper && ((enclave, signal) => keeper.pushTo(routeOf(enclave), signal)),
    [Symbol.asyncDispose]: async () => await keeper?.[Symbol.asyncDispose](),
  };
}

/**
 * Makes the source of credentials that the settings name.
 *
 * @param settings Settings of the parent
 * @returns undefined when they name none
 */
export function sourceOf(settings: ParentSettings): CredentialSource | undefined {
  const { credentials, credentialsRole: role, imdsEndpoint: endpoint } = settings;
  if (credentials === "none") return undefined;
  return credentials === "imds" ? imdsCredentials({ role, endpoint }) : chainCredentials();
}

async function readSecrets(
  settings: ParentSettings,
  credentials: CredentialSource | undefined,
  signal: AbortSignal,
): Promise<readonly SealedSecret[]> {
  const { region, s3Endpoint: endpoint, s3TrustedCertificatesFile: file } = settings;
  const trustedCertificates = file === undefined ? undefined : await readFile(file, "utf8");
  const provider = credentials as ReadArtefactOptions["credentials"];
  const read = async ({ name, port, source, sha256, versionId, maxBytes }: SecretSetting) => {
    const pins = { sha256, versionId, maxBytes, signal };
    const content = await readArtefact(source, {
      region,
      credentials: provider,
      endpoint,
      trustedCertificates,
      ...pins,
    });
    return { name, port, content };
  };
  return await Promise.all(allSecrets(settings).map(read));
}

function launcherOf({ settings, environment }: PartsOptions): Launch {
  const { enclaveName: name, enclaveCid: cid, stateFolder, simulationFolder, command, debugMode } = settings;
  const consoleFile = stateFolder === undefined ? undefined : { path: join(stateFolder, "console.log") };
  if (settings.envSetup === "NITRO") {
    const { eifPath = "", cpuCount, memoryMib, nitroCli } = settings;
    const options = { eifPath, name, cid, cpuCount, memoryMib, debug: debugMode, consoleFile, nitroCli };
    return (signal) => launchEnclave({ ...options, signal });
  }
  const { controlPort } = settings;
  const options = {
    command: command ?? [],
    simulationFolder: simulationFolder ?? "",
    name,
    cid,
    controlPort,
    environment,
    consoleFile,
  };
  return (signal) => launchSimulation({ ...options, signal });
}

/**
 * Makes a connector to the enclave of the settings.
 *
 * @param settings Settings of the parent
 */
export function connectorTo(settings: ParentSettings): EnclaveConnector {
  const { envSetup, enclaveCid, vsockPort, enclaveHost: host, enclavePort: port } = settings;
  // The supervisor asks again by itself.
  const limits = { reconnectMs: 0, timeoutMs: 5000, maxConnections: 8 };
  return envSetup === "NITRO"
    ? new NitroConnector({ enclaveCid, vsockPort, ...limits })
    : new SimulationConnector({ host, port, ...limits });
}
