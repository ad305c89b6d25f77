import { fileSource } from "../../deploy/eif/file_source.ts";
import { NODE_HASHES } from "../../deploy/eif/node_sha384.ts";
import { type ImageExpectation, verifyImage } from "../../deploy/eif/verify_image.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import { readDocumentFile } from "../read_document_file.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usage_error.ts";
import { readText } from "../values.ts";

/** Runs `image verify`: measures an image and compares its PCRs; differences are told on standard error. */
export async function imageVerify(args: Arguments, terminal: Terminal): Promise<number> {
  const expectation = readExpectation(args);
  await using source = await fileSource(args.argument ?? "");
  using reading = terminal.progress("measuring the image");
  const { isSame, pcrs, differences } = await verifyImage(source, { ...expectation, hashes: NODE_HASHES });
  reading[Symbol.dispose]();
  if (args.has("json")) await terminal.report(`${JSON.stringify({ isSame, pcrs, differences })}\n`);
  else if (isSame) await terminal.report("The image is the one that was expected\n");
  else for (const difference of differences) terminal.note(`enclave-kms image verify: ${difference}`);
  return isSame ? EXIT.ok : EXIT.refused;
}

function readExpectation(args: Arguments): ImageExpectation {
  const [summary, document, policy] = [args.get("summary"), args.get("document"), args.get("policy")];
  if ([summary, document, policy].filter((one) => one !== undefined).length !== 1) {
    throw new UsageError("One of --summary, --document and --policy must be set");
  }
  if (summary !== undefined) return { summary: readText("summary", summary) };
  if (document !== undefined) return { document: readDocumentFile("document", document) };
  return { policy: readText("policy", `${policy}`), role: args.require("role") };
}
