import { explainRefusal, type StatementVerdict } from "../../deploy/keys/explain_refusal.ts";
import { decodeAttestationDocument } from "../../lib/attestation/document.ts";
import { toHex } from "../../lib/core/bytes.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import { encryptionContext } from "../kms_call.ts";
import { readDocumentFile } from "../read_document_file.ts";
import { oneLine, type Terminal } from "../terminal.ts";
import { readFileArgument } from "../values.ts";

/** Runs `key-policy explain`: says which condition of each statement a request does not meet. */
export async function keyPolicyExplain(args: Arguments, terminal: Terminal): Promise<number> {
  const document = args.get("document");
  const verdicts = explainRefusal(readFileArgument(args), {
    role: args.require("role"),
    action: args.get("action"),
    pcrs: document === undefined ? undefined : pcrsOf(document),
    encryptionContext: encryptionContext(args),
  });
  const lines = verdicts.length === 0
    ? ["No statement is about the action: nothing allows it."]
    : verdicts.flatMap(linesOf);
  await terminal.report(
    args.has("json") ? `${JSON.stringify(verdicts)}\n` : lines.map((line) => `${oneLine(line)}\n`).join(""),
  );
  return EXIT.ok;
}

function pcrsOf(path: string): Readonly<Record<number, string>> {
  const { pcrs } = decodeAttestationDocument(readDocumentFile("document", path));
  return Object.fromEntries([...pcrs].map(([index, value]) => [index, toHex(value)]));
}

function linesOf({ statement, effect, applies, reasons }: StatementVerdict): string[] {
  if (!applies) return reasons.map((reason) => `${statement} does not ${effect.toLowerCase()} it: ${reason}`);
  return [effect === "Allow" ? `${statement} allows it` : `${statement} denies it, whatever else allows it`];
}
