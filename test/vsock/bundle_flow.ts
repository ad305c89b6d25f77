/**
 * Bundles the programs of the scenarios `flow`: the command line, and the application as an image has it. They start in a
 * fraction of the time that the sources take in an emulator.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import { COMMON_JS } from "../../deploy/bundle/bundle_files.ts";
import { PLACE } from "../../tools/bundle_server.ts";
import { GUEST_CID, LOOPBACK_CID } from "./guest_addresses.ts";

const PROGRAMS = {
  application: "test/vsock/flow_application.ts",
  enclave_kms: "cli/main.ts",
  // The server of gRPC beside the application is on Node, whatever the application is on.
  grpc_child: "test/support/grpc_child.ts",
};

/** Constants that a guest of its own must have otherwise, by the end of the path of their file. */
const CHANGES: Readonly<Record<string, readonly [before: RegExp, after: string]>> = {
  // Whoever comes over the loopback is its CID.
  "lib/core/endpoint.ts": [/(?<=const PARENT_CID = )3;/, `${LOOPBACK_CID};`],
  // The enclave has the guest's own CID.
  "lib/transport/enclave_ports.ts": [/(?<=const FIRST_ENCLAVE_CID = )4;/, `${GUEST_CID};`],
};

/** Packages that are imported when they are used, which they are not here. */
const UNUSED = ["@aws-sdk/*", "esbuild"];

/** Program of the scenarios. */
export type FlowProgram = keyof typeof PROGRAMS;

/**
 * Finds a program, beside the bundled server with what it needs.
 *
 * @param outdir Folder of the bundles
 * @param program Name of the program
 */
export function flowProgram(outdir: string, program: FlowProgram): string {
  const runtime = "Deno" in globalThis ? "deno" : "node";
  return join(outdir, runtime, PLACE, `${program}.js`);
}

/**
 * Makes the programs for both runtimes, in a guest in which the parent and the enclave have one CID.
 *
 * @param outdir Folder of the bundled servers
 */
export async function bundleFlow(outdir: string): Promise<void> {
  for (const runtime of ["node", "deno"]) {
    const changed = new Set<string>();
    await build({
      entryPoints: PROGRAMS,
      outdir: join(outdir, runtime, PLACE),
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node24",
      conditions: [runtime === "deno" ? "deno" : "koffi-inside"],
      external: UNUSED,
      banner: { js: COMMON_JS },
      legalComments: "none",
      logLevel: "warning",
      plugins: [changeConstants(changed)],
    });
    assert.deepEqual([...changed].sort(), Object.keys(CHANGES).sort());
  }
}

function changeConstants(changed: Set<string>): Plugin {
  return {
    name: "guest-addresses",
    setup({ onLoad }) {
      onLoad({ filter: /\/(?:endpoint|enclave_ports)\.ts$/ }, ({ path }) => {
        const [name, change] = Object.entries(CHANGES).find(([end]) => path.endsWith(end)) ?? [];
        if (name === undefined || change === undefined) return undefined;
        const source = readFileSync(path, "utf8");
        assert.match(source, change[0]);
        changed.add(name);
        return { contents: source.replace(...change), loader: "ts" };
      });
    },
  };
}
