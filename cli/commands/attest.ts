import { NsmClient } from "../../lib/nsm/nsm_client.ts";
import { Deadline } from "../../lib/core/deadline.ts";
import { writeFileSync } from "node:fs";
import type { Arguments } from "../arguments.ts";
import { type DocumentFormat, formatDocument } from "../attestation/document_output.ts";
import { simulatedNsm } from "../client.ts";
import { OutputLostError, UsageError } from "../usage_error.ts";
import { EXIT } from "../exit_codes.ts";
import type { Terminal } from "../terminal.ts";
import { bytes, derOf, integer, optionalBytes } from "../values.ts";
import { reasonOf } from "../reason.ts";

const DEFAULT_TIMEOUT_MS = 10_000;

/** Errors after which part of a file may be written. After any other the file was not opened. */
const LOSSES: readonly string[] = ["ENOSPC", "EDQUOT", "EFBIG", "EIO", "EPIPE"];

/** Runs `attest`: prints an attestation document as base64 or in another form, or writes its bytes to a file. */
export async function attest(args: Arguments, terminal: Terminal): Promise<number> {
  const publicKey = args.get("public-key");
  const request = {
    nonce: optionalBytes(args, "nonce"),
    userData: optionalBytes(args, "user-data"),
    publicKey: publicKey === undefined
      ? undefined
      : derOf("public-key", bytes("public-key", publicKey), "PUBLIC KEY"),
  };
  const timeoutMs = integer(args, "timeout-ms", { min: 1, max: 2_147_483_647 }) ?? DEFAULT_TIMEOUT_MS;
  using nsm = simulatedNsm(args) ?? (await import("../../lib/nsm/open_nsm.ts")).openNsm();
  using deadline = new Deadline("get an attestation document", timeoutMs, undefined, "nsm");
  using _progress = terminal.progress("enclave-kms: waiting for the NSM");
  const document = await deadline.race(new NsmClient(nsm).attest(request));
  const out = args.get("out");
  const format = args.get("format") as DocumentFormat | undefined;
  if (out === undefined) await terminal.write(formatDocument(document, format ?? "base64"));
  else writeOut(out, formatDocument(document, format ?? "raw"));
  return EXIT.ok;
}

function writeOut(path: string, document: string | Uint8Array): void {
  try {
    writeFileSync(path, document);
  } catch (error) {
    const reason = reasonOf(error);
    if (LOSSES.includes(reason)) throw new OutputLostError(reason);
    throw new UsageError(`--out must be a file that can be written: ${reason}`);
  }
}
