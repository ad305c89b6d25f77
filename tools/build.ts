/**
 * `npm run build`: makes the npm package in `build/npm` (or in a new folder), one set of files for Node.js
 * and one for Deno, and the one-file servers in `build/server`, and prints what is inside. The same sources
 * give the same bytes.
 *
 * @module
 */
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { bundle, type Runtime } from "./bundle.ts";
import { bundleServers } from "./bundle_server.ts";
import { emitDeclarations } from "./declarations.ts";
import { manifestOf } from "./manifest.ts";

const RUNTIMES: readonly Runtime[] = ["node", "deno"];

const OUT = "build/npm";

/** Program that npm links as `enclave-kms`: it loads the command line of the runtime that runs it. */
const LAUNCHER = `#!/usr/bin/env node
await import("Deno" in globalThis ? "./deno/cli.js" : "./node/cli.js");
`;

const out = process.argv[2] ?? OUT;

if (out === OUT) rmSync(OUT, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
for (const file of ["README.md", "SECURITY.md", "LICENSE", "CHANGELOG.md"]) {
  copyFileSync(file, `${out}/${file}`);
}
for (const folder of ["docs", "examples", "templates"]) {
  cpSync(folder, `${out}/${folder}`, { recursive: true });
}
for (const folder of ["cloudformation", "codebuild", "github", "grafana", "images", "kubernetes"]) {
  // Sources are in the bundles.
  const filter = (path: string) => !path.endsWith(".ts");
  cpSync(`deploy/${folder}`, `${out}/deploy/${folder}`, { recursive: true, filter });
}
const manifest = manifestOf(JSON.parse(readFileSync("package.json", "utf8")));
writeFileSync(`${out}/package.json`, `${JSON.stringify(manifest, null, 2)}\n`);
writeFileSync(`${out}/cli.js`, LAUNCHER, { mode: 0o755 });
for (const runtime of RUNTIMES) {
  const { outputs } = await bundle(runtime, `${out}/${runtime}`);
  for (const [path, { bytes, inputs }] of Object.entries(outputs)) {
    const size = (bytes / 1024).toFixed(1).padStart(6);
    console.log(`${size} KiB  ${path} (${Object.keys(inputs).length} sources)`);
  }
}
console.log(`types: ${emitDeclarations(`${out}/types`)} files`);
await bundleServers(out === OUT ? "build/server" : `${out}-server`);
