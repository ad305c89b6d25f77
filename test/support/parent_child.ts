/**
 * Program in the place of `enclave-kms parent` on an instance: it does the same, but looks for the enclave in a folder of
 * unix sockets, where nobody answers, since no test may use vsock.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { logLine } from "../../cli/parent/event_log.ts";
import { untilStopped } from "../../cli/parent/until_stopped.ts";
import { SimulationConnector } from "../../parent/connector/simulation_connector.ts";
import { runParent } from "../../parent/run_parent.ts";
import { readParentSettings } from "../../parent/settings/parent_settings.ts";

const { values } = parseArgs({ options: { config: { type: "string" } }, allowPositionals: true });
const settings = readParentSettings(process.env, values.config);
const code = await untilStopped(runParent({
  settings: { ...settings, simulationFolder: settings.stateFolder },
  connect: () => new SimulationConnector({ host: "127.0.0.1", port: 1, reconnectMs: 0 }),
  onEvent: (event) => process.stdout.write(logLine(event, "json")),
}));
process.exitCode = code;
