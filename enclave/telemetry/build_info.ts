import process from "node:process";
import { VERSION } from "../../lib/core/version.ts";

/** Version of this package, and name and version of the runtime. */
export const BUILD_INFO: {
  readonly version: string;
  readonly runtime: string;
  readonly runtimeVersion: string;
} = {
  version: VERSION,
  ...runtimeInfo(process.versions),
};

/** Names the runtime: Deno has a version of Node's as well, which it stands in for. */
function runtimeInfo({ deno, node = "" }: Readonly<Record<string, string | undefined>>) {
  return deno === undefined
    ? { runtime: "node", runtimeVersion: node }
    : { runtime: "deno", runtimeVersion: deno };
}
