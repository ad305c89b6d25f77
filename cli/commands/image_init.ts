import type { ImageManifest } from "../../deploy/eif/manifest.ts";
import { makeManifest, type ManifestOptions, OPENSSL } from "../../deploy/init/make_manifest.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import { printResults, requireOut } from "../secret_files.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usage_error.ts";
import { writeWhole } from "../write_whole.ts";

/** Runs `image init`: writes the first manifest of an image. */
export async function imageInit(args: Arguments, terminal: Terminal): Promise<number> {
  const output = requireOut(args);
  using hashing = terminal.progress("hashing what the image will hold");
  const manifest = await makeManifest(optionsOf(args, output));
  writeWhole(
    [{ path: output, bytes: new TextEncoder().encode(`${JSON.stringify(manifest, undefined, 2)}\n`) }],
    args.has("force"),
  );
  hashing[Symbol.dispose]();
  tellWithoutOpenssl(manifest, terminal);
  await printResults(args, terminal, {
    manifest: output,
    architecture: manifest.architecture,
    files: String(
      [...manifest.bootstrap, ...manifest.application].filter((entry) => "from" in entry).length + 1,
    ),
    command: manifest.command.join(" "),
  });
  return EXIT.ok;
}

function optionsOf(args: Arguments, output: string): ManifestOptions {
  return {
    output,
    bundle: args.require("bundle"),
    runtimeBinary: args.require("runtime-binary"),
    name: args.get("name") ?? "application",
    version: args.get("image-version") ?? "0.0.0",
    kernel: args.get("kernel"),
    init: args.get("init"),
    nsmModule: args.get("nsm-module"),
    commandLine: args.get("command-line"),
    config: args.get("config"),
    schema: args.get("schema"),
    caCertificates: args.get("ca-certificates"),
    root: args.get("root"),
    libraries: args.all("library"),
    environment: Object.fromEntries(args.all("env").map((pair) => split("env", pair))),
    files: args.all("file").map((pair) => split("file", pair)),
  };
}

function tellWithoutOpenssl({ application }: ImageManifest, terminal: Terminal): void {
  const paths = application.map(({ path }) => path);
  if (paths.includes("usr/bin/deno") && !paths.some((path) => path.endsWith(`/${OPENSSL}`))) {
    terminal.note(`warning: no ${OPENSSL} was found: in the enclave Deno's own cryptography does its work`);
    terminal.note(
      "hint: Install Debian's libssl3 or Amazon Linux's openssl-libs, or name a --root that has it",
    );
  }
}

function split(flag: string, pair: string): [string, string] {
  const at = pair.indexOf("=");
  if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)];
  throw new UsageError(`--${flag} must be ${flag === "env" ? "NAME=VALUE" : "PATH=FILE"}`);
}
