import { writeDockerfile } from "../../deploy/images/write_dockerfile.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usage_error.ts";
import { readText } from "../values.ts";

/** Runs `image dockerfile`: prints a Dockerfile for an application's image, with its settings as arguments. */
export async function imageDockerfile(args: Arguments, terminal: Terminal): Promise<number> {
  await terminal.write(writeDockerfile({
    schema: readText("schema", args.require("schema")),
    entry: args.require("entry"),
    runtime: args.require("runtime") as "node" | "deno",
    config: args.get("config"),
    files: args.all("file").map(split),
    cli: args.get("cli"),
  }));
  return EXIT.ok;
}

function split(pair: string): readonly [place: string, from: string] {
  const at = pair.indexOf("=");
  if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)];
  throw new UsageError("--file must be PATH=FILE");
}
