import { toHex } from "../../lib/core/bytes.ts";
import { splitSecret } from "../../operator/split_secret.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import { printResults, readIn, requireOut } from "../secret_files.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usage_error.ts";
import { integer } from "../values.ts";
import { writeWhole } from "../write_whole.ts";

const MAX_SHARES = 255;

/** Runs `secret split`: writes one age file for each share, and prints the hash that the enclave pins. */
export async function split(args: Arguments, terminal: Terminal): Promise<number> {
  const recipients = recipientsOf(args);
  args.require("threshold");
  const threshold = integer(args, "threshold", { min: 2, max: recipients.length }, UsageError) ?? 0;
  const pathsOf = (prefix: string) => recipients.map((_, index) => `${prefix}-${index + 1}.age`);
  const paths = pathsOf(requireOut(args, pathsOf));
  using secret = await readIn(args, terminal);
  using _progress = terminal.progress("enclave-kms: splitting");
  const { shares, sha256 } = await splitSecret({ secret, threshold, recipients });
  writeWhole(shares.map((bytes, index) => ({ path: paths[index]!, bytes })), args.has("force"));
  await printResults(args, terminal, { out: paths, sha256: toHex(sha256) });
  return EXIT.ok;
}

/** Reads one recipient for each share. */
function recipientsOf(args: Arguments): readonly string[] {
  const given = args.all("recipient");
  if (given.length === 0) throw new UsageError("--recipient must be set");
  const count = integer(args, "shares", { min: 2, max: MAX_SHARES }, UsageError) ?? given.length;
  if (given.length === count && count >= 2) return given;
  if (given.length === 1 && count >= 2) return Array<string>(count).fill(given[0]!);
  throw new UsageError("--recipient must be given once, with --shares, or once for each share");
}
