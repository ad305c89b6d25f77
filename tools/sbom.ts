/**
 * `npm run sbom`: writes `build/sbom.cdx.json`, the bill of materials of what a user of the package installs, in
 * CycloneDX. It has the dependencies of every platform, from the lock file. Optional peers are not in it: users choose
 * their versions.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

const out = process.argv[2] ?? "build/sbom.cdx.json";
const cwd = fileURLToPath(new URL("..", import.meta.url));
const args = ["sbom", "--package-lock-only", "--omit", "dev", "--sbom-format", "cyclonedx"];
const bill = JSON.parse(execFileSync("npm", args, { cwd, encoding: "utf8", maxBuffer: 1 << 26 })) as {
  readonly metadata: { readonly component: { name: string } };
  readonly components: readonly unknown[];
};
// npm takes the name of the folder.
const { name } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
bill.metadata.component.name = name;
if (process.argv[2] === undefined) mkdirSync(new URL("../build", import.meta.url), { recursive: true });
writeFileSync(out, `${JSON.stringify(bill, undefined, 2)}\n`);
console.log(`${out}: ${bill.components.length} components`);
