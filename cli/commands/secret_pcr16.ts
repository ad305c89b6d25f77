import { toHex } from "../../lib/core/bytes.ts";
import { computePcr16 } from "../../operator/compute_pcr16.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import { printResults } from "../secret_files.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usage_error.ts";
import { readFile } from "../values.ts";

/** Runs `secret pcr16`: prints the value of PCR16 of an enclave that took these secrets. */
export async function pcr16(args: Arguments, terminal: Terminal): Promise<number> {
  const secrets = args.all("secret").map((text) => {
    const [, name, path] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
    if (name === undefined || path === undefined) throw new UsageError("--secret must be NAME=FILE");
    return { name, content: readFile("secret", path) };
  });
  if (secrets.length === 0) throw new UsageError("--secret must be set");
  await printResults(args, terminal, { pcr16: toHex(await computePcr16(secrets)) });
  return EXIT.ok;
}
