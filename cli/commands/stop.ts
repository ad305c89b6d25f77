import { terminateEnclaves } from "../../parent/launch_enclave.ts";
import { stopParent } from "../../parent/runner/stop_parent.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import { readSettings } from "../parent/read_settings.ts";
import type { Terminal } from "../terminal.ts";
import { integer } from "../values.ts";

const DEFAULT_TIMEOUT_MS = 90_000;

/** Runs `stop`: ends a running parent with its enclave, and the enclave that one has left. */
export async function stop(args: Arguments, terminal: Terminal): Promise<number> {
  const { stateFolder, envSetup, enclaveName, nitroCli } = readSettings(args.get("config"), terminal);
  const timeoutMs = integer(args, "timeout-ms", { min: 100, max: 3_600_000 }) ?? DEFAULT_TIMEOUT_MS;
  using _progress = terminal.progress("enclave-kms: waiting for the parent to end");
  const begun = performance.now();
  const hadParent = stateFolder !== undefined && await stopParent({ stateFolder, timeoutMs });
  // A parent that could not end its enclave ends all the same.
  const remainingMs = Math.max(10, Math.floor(timeoutMs - (performance.now() - begun)));
  const count = envSetup === "NITRO"
    ? await terminateEnclaves(enclaveName, { nitroCli, timeoutMs: remainingMs })
    : 0;
  await terminal.report(`${ended(hadParent, count > 0)}\n`);
  return EXIT.ok;
}

function ended(hadParent: boolean, hasLeft: boolean): string {
  if (hadParent) {
    return hasLeft
      ? "the parent has ended, and the enclave that it has left"
      : "the parent and its enclave have ended";
  }
  return hasLeft ? "the enclave has ended; there was no parent" : "there is neither a parent nor an enclave";
}
