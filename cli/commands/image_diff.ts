import { fileSource } from "../../deploy/eif/file_source.ts";
import { diffImages } from "../../deploy/eif/inspect_image.ts";
import { NODE_HASHES } from "../../deploy/eif/node_sha384.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import { oneLine, type Terminal } from "../terminal.ts";

/** Runs `image diff`: says which files make the PCRs of two images differ. */
export async function imageDiff(args: Arguments, terminal: Terminal): Promise<number> {
  const [before, after] = [args.require("before"), args.require("after")];
  await using old = await fileSource(before);
  await using next = await fileSource(after);
  using comparing = terminal.progress("comparing the images");
  const { pcrs, differences } = await diffImages(old, next, { hashes: NODE_HASHES });
  comparing[Symbol.dispose]();
  if (args.has("json")) await terminal.report(`${JSON.stringify({ pcrs, differences })}\n`);
  else {
    const lines = differences.map(({ place, what }) => `${place} ${what}`);
    const verdict = pcrs.length === 0
      ? "The PCRs are the same"
      : `Other: ${pcrs.map((index) => `PCR${index}`).join(", ")}`;
    await terminal.report([...lines, verdict].map((line) => `${oneLine(line)}\n`).join(""));
  }
  return pcrs.length === 0 ? EXIT.ok : EXIT.refused;
}
