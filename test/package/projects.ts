import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { check, NPM_FLAGS, run, type Runtime } from "./check.ts";
import type { Places } from "./toolchains.ts";

const KINDS: readonly string[] = ["signer", "server", "secret-loader"];

/**
 * Makes each kind of project with the packed package's `init`, installs it, and runs its own tests as its README says.
 *
 * @param places Folders of the checks
 * @param nodes Versions of Node.js
 */
export async function checkProjects(
  { work, app, tarball }: Places,
  nodes: readonly Runtime[],
): Promise<void> {
  for (const kind of KINDS) {
    const folder = join(work, `new-${kind}`);
    await check(`enclave-kms init ${kind}, npm install`, async () => {
      const cli = join(app, "node_modules/enclave-kms/cli.js");
      await run(process.execPath, [cli, "init", kind, folder, "--package", tarball]);
      await run("npm", ["install", ...NPM_FLAGS], folder);
    });
    for (const { name, command: [binary = ""] } of nodes) {
      const path = `PATH=${dirname(binary)}${delimiter}${process.env["PATH"]}`;
      await check(
        `${name}: npm test of ${kind}`,
        async () => void await run("env", [path, "npm", "test"], folder),
      );
    }
    await check(
      `Deno: deno task test of ${kind}`,
      async () => void await run("deno", ["task", "test"], folder),
    );
  }
}
