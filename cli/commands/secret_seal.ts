import type { SecretBytes } from "../../lib/core/secret_bytes.ts";
import { AgeKeyPair } from "../../operator/age_key_pair.ts";
import { sealWithAge } from "../../operator/seal_with_age.ts";
import { sealWithKms } from "../../operator/seal_with_kms.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import { encryptionContext } from "../kms_call.ts";
import { withOperatorClient } from "../operator_client.ts";
import { printResults, readIn, requireOut, sha256Of } from "../secret_files.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usage_error.ts";
import { writeWhole } from "../write_whole.ts";

/** Runs `secret seal`: encrypts a secret, or a new age identity, with KMS or with age. */
export async function sealSecret(args: Arguments, terminal: Terminal): Promise<number> {
  const isNew = args.has("new-age-identity");
  checkFlags(args, isNew);
  const out = requireOut(args);
  using keys = isNew ? await AgeKeyPair.generate() : undefined;
  using given = isNew ? undefined : await readIn(args, terminal);
  const secret = (keys?.identity ?? given) as SecretBytes;
  const bytes = args.has("key-arn")
    ? await withKms(args, terminal, secret)
    : await sealWithAge(secret, args.all("recipient"));
  writeWhole([{ path: out, bytes }], args.has("force"));
  await printResults(args, terminal, { out, sha256: await sha256Of(bytes), recipient: keys?.recipient });
  return EXIT.ok;
}

function checkFlags(args: Arguments, isNew: boolean): void {
  const withKms = args.has("key-arn");
  if (withKms === args.has("recipient")) {
    throw new UsageError("Either --recipient must be set, or --key-arn with --encryption-context");
  }
  if (withKms) args.require("encryption-context");
  else if (args.has("encryption-context")) throw new UsageError("--encryption-context goes with --key-arn");
  if (isNew && !withKms) throw new UsageError("--new-age-identity goes with --key-arn");
  if (isNew && args.has("in")) throw new UsageError("--new-age-identity and --in exclude each other");
}

async function withKms(args: Arguments, terminal: Terminal, secret: SecretBytes): Promise<Uint8Array> {
  const context = encryptionContext(args) ?? {};
  using _progress = terminal.progress("enclave-kms: waiting for KMS");
  return await withOperatorClient(
    args,
    terminal,
    "key-arn",
    (client, keyArn) => sealWithKms(client, secret, { keyArn, encryptionContext: context }),
  );
}
