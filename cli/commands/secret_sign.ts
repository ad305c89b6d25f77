import { SecretBytes } from "../../lib/core/secret_bytes.ts";
import { signSecret } from "../../operator/sign_secret.ts";
import { importSigningKey } from "../../operator/signing_key.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import { printResults, readIn, requireOut, sha256Of } from "../secret_files.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usage_error.ts";
import { integer, readFile, readText } from "../values.ts";
import { writeWhole } from "../write_whole.ts";

/** Runs `secret sign`: writes a sealed secret with the signature of its publisher. */
export async function sign(args: Arguments, terminal: Terminal): Promise<number> {
  const name = args.require("name");
  args.require("version");
  const version = integer(args, "version", { min: 0, max: Number.MAX_SAFE_INTEGER }, UsageError) ?? 0;
  const publisher = args.get("publisher");
  const out = requireOut(args);
  using pkcs8 = new SecretBytes(readFile("key", args.require("key")));
  const key = await importSigningKey(pkcs8.bytes);
  using sealed = await readIn(args, terminal);
  const bytes = await signSecret({
    name,
    version,
    sealed: sealed.bytes,
    key,
    publisher: publisher === undefined ? undefined : readText("publisher", publisher),
  });
  writeWhole([{ path: out, bytes }], args.has("force"));
  await printResults(args, terminal, { out, sha256: await sha256Of(sealed.bytes) });
  return EXIT.ok;
}
