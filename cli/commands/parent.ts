import { resolve } from "node:path";
import process from "node:process";
import { Deadline } from "../../lib/core/deadline.ts";
import { EnclaveKmsError } from "../../lib/core/errors.ts";
import { runParent } from "../../parent/run_parent.ts";
import type { ParentSettings } from "../../parent/settings/setting_table.ts";
import type { Arguments } from "../arguments.ts";
import { examineParent } from "../doctor/examine_parent.ts";
import { isBroken, report } from "../doctor/report.ts";
import { EXIT } from "../exit_codes.ts";
import { describeFailure } from "../failure.ts";
import { checkEnclave, findParent, type WantedState } from "../parent/check_parent.ts";
import { type LogForm, logLine } from "../parent/event_log.ts";
import { readSettings } from "../parent/read_settings.ts";
import { systemdUnit } from "../parent/systemd_unit.ts";
import { untilStopped } from "../parent/until_stopped.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usage_error.ts";
import { integer } from "../values.ts";

/** Time for a dry run, in milliseconds: artefacts may be large. */
const DRY_RUN_MS = 30_000;

/** Time for a check, in milliseconds: nitro-cli is asked. */
const CHECK_MS = 20_000;

/** Runs `parent`: all that the parent of an enclave does, until SIGTERM or `enclave-kms stop`. */
export async function parent(args: Arguments, terminal: Terminal): Promise<number> {
  if (args.has("print-unit")) return await printUnit(args, terminal);
  const wanted = args.get("check");
  if (wanted !== undefined && !args.has("print-config")) {
    return await check(wanted as WantedState, args, terminal);
  }
  const settings = readSettings(args.get("config"), terminal);
  if (args.has("print-config")) {
    await terminal.write(`${JSON.stringify(settings, undefined, 2)}\n`);
    return EXIT.ok;
  }
  return args.has("dry-run") ? await dryRun(settings, args, terminal) : await run(settings, args, terminal);
}

async function run(settings: ParentSettings, args: Arguments, terminal: Terminal): Promise<number> {
  const form = (args.get("log") ?? "json") as LogForm;
  return await untilStopped(runParent({
    settings,
    // A log that cannot be written stops nothing.
    onEvent: (event) => void terminal.report(logLine(event, form)),
  }));
}

/**
 * Tells whether a parent that runs has its enclave in a state. Without a parent there is no answer, but a failure, and so
 * there is without settings: a file that is written anew, or mounted anew, says nothing against the enclave.
 */
async function check(wanted: WantedState, args: Arguments, terminal: Terminal): Promise<number> {
  let settings: ParentSettings;
  try {
    settings = readSettings(args.get("config"), terminal);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    for (const line of describeFailure("enclave-kms parent", error)) terminal.note(line);
    return EXIT.failed;
  }
  const { stateFolder } = settings;
  if (stateFolder === undefined) {
    throw new UsageError("stateFolder (STATE_FOLDER) must be set for --check");
  }
  const timeoutMs = integer(args, "timeout-ms", { min: 100, max: 600_000 }) ?? CHECK_MS;
  using deadline = new Deadline("check the enclave", timeoutMs, undefined, "nitro-cli");
  const parent = await findParent(stateFolder, deadline.signal);
  try {
    await terminal.report(`${await checkEnclave(parent, wanted, { settings, deadline })}\n`);
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof EnclaveKmsError)) throw error;
    for (const line of describeFailure("enclave-kms parent", error)) terminal.note(line);
    return EXIT.notRunning;
  }
}

/** Examines what a start would need, and changes nothing. */
async function dryRun(settings: ParentSettings, args: Arguments, terminal: Terminal): Promise<number> {
  const timeoutMs = integer(args, "timeout-ms", { min: 100, max: 600_000 }) ?? DRY_RUN_MS;
  using _progress = terminal.progress("enclave-kms: examining");
  const findings = await examineParent({ settings, timeoutMs, isDryRun: true });
  await terminal.report(report(findings, terminal));
  return isBroken(findings) ? EXIT.broken : EXIT.ok;
}

async function printUnit(args: Arguments, terminal: Terminal): Promise<number> {
  const config = resolve(args.get("config") ?? "/etc/enclave-kms/parent.json");
  const rights = "Deno" in globalThis ? ["run", "--quiet", "--allow-all", "--unstable-vsock"] : [];
  const command = [process.execPath, ...rights, process.argv[1] ?? "enclave-kms"];
  await terminal.write(systemdUnit({ command, config }));
  return EXIT.ok;
}
