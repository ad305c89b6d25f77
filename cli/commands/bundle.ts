import { bundleApplication } from "../../deploy/bundle/bundle_application.ts";
import type { BundleRuntime } from "../../deploy/bundle/bundle_description.ts";
import type { BundleArchitecture } from "../../deploy/bundle/bundle_files.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import { printResults } from "../secret_files.ts";
import { oneLine, type Terminal } from "../terminal.ts";

/** Processors by the values of `--architecture`. */
const ARCHITECTURES: Readonly<Record<string, readonly BundleArchitecture[]>> = {
  x86_64: ["x86_64"],
  arm64: ["arm64"],
  both: ["x86_64", "arm64"],
};

/** Runs `bundle`: bundles an application, and prints what is in it. */
export async function bundle(args: Arguments, terminal: Terminal): Promise<number> {
  const output = args.require("out");
  const options = {
    entry: args.require("entry"),
    runtime: args.require("runtime") as BundleRuntime,
    architectures: ARCHITECTURES[args.get("architecture") ?? "x86_64"] ?? [],
    output,
  };
  using bundling = terminal.progress("bundling");
  const made = await bundleApplication(options);
  bundling[Symbol.dispose]();
  if (args.has("json")) {
    await terminal.write(`${JSON.stringify(made)}\n`);
    return EXIT.ok;
  }
  const files = Object.entries(made.files).map(([path, { bytes, sha256 }]) =>
    `${sha256}  ${bytes}  ${oneLine(path)}`
  );
  await printResults(args, terminal, {
    entry: `${output}/${made.entry}`,
    file: files,
    "not installed, and left out": made.leftOut,
  });
  return EXIT.ok;
}
