import { fileSource } from "../../deploy/eif/file_source.ts";
import { describeImage, type ImageDescription } from "../../deploy/eif/inspect_image.ts";
import { NODE_HASHES } from "../../deploy/eif/node_sha384.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import { oneLine, type Terminal } from "../terminal.ts";

/** Runs `image describe`: prints what an image holds, and its PCRs. */
export async function imageDescribe(args: Arguments, terminal: Terminal): Promise<number> {
  await using source = await fileSource(args.argument ?? "");
  using reading = terminal.progress("measuring the image");
  const description = await describeImage(source, { contents: args.has("contents"), hashes: NODE_HASHES });
  reading[Symbol.dispose]();
  await terminal.report(
    args.has("json") ? `${JSON.stringify(description, undefined, 2)}\n` : linesOf(description),
  );
  return EXIT.ok;
}

/** Texts of the image are somebody's: nothing in them may steer a terminal. */
function linesOf({ architecture, bytes, sha384, pcrs, isSigned, ...rest }: ImageDescription): string {
  const { commandLine, sections, metadata, contents = [] } = rest;
  const lines = [
    `Enclave image, version 4, ${architecture}, ${bytes} bytes, ${isSigned ? "signed" : "not signed"}`,
    ...Object.entries(pcrs).map(([index, value]) => `PCR${index}: ${value}`),
    `SHA-384: ${sha384}`,
    `Command line: ${commandLine}`,
    ...sections.map(({ type, size }, index) => `Section ${index}: ${type}, ${size} bytes`),
    `Metadata, which is not measured: ${JSON.stringify(metadata) ?? "none"}`,
    ...contents.map(({ place, type, mode, content }) => `${place}: ${type} ${mode} ${content}`),
  ];
  return lines.map((line) => `${oneLine(line)}\n`).join("");
}
