/**
 * `npm run test:enclave`: builds images with `deploy/eif`, boots them on QEMU's emulation of a Nitro Enclaves machine, and
 * compares what the enclave sees of itself with what the builder printed. Arguments are parts of the names of the
 * scenarios to run; without any, all run.
 *
 * The emulator is built from Debian's source when the cache does not have it. What does not build or boot is a failure,
 * never a skip; a scenario that fails runs once more, and is printed as unstable when it passes then. The host needs what
 * test:vsock needs, and never opens AF_VSOCK.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { surviveClosedOutput } from "../support/closed_output.ts";
import { Lab } from "./lab.ts";
import { SCENARIOS } from "./scenarios.ts";

surviveClosedOutput();

/** The build takes 6 minutes on two busy cores. */
const BUILD_TIMEOUT_MS = 1_500_000;

/** With so many failures none runs again: it is not by chance. */
const MOST_AGAIN = 2;

const started = performance.now();
const failures: string[] = [];

{
  using lab = new Lab(emulator());
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    const filters = process.argv.slice(2);
    if (filters.length > 0 && !filters.some((part) => name.includes(part))) continue;
    if (await run(lab, name, scenario)) continue;
    if (failures.length < MOST_AGAIN && await run(lab, name, scenario)) {
      console.log(`Unstable, passed when it ran again: ${name}`);
    } else failures.push(name);
  }
}
const outcome = failures.length === 0 ? "all right" : `failed: ${failures.join(", ")}`;
console.log(`\nenclave: ${outcome} (${seconds(started)} s)`);
process.exitCode = failures.length === 0 ? 0 : 1;

/** Runs a scenario, and tells whether it passed. */
async function run(lab: Lab, name: string, scenario: (typeof SCENARIOS)[string]): Promise<boolean> {
  const began = performance.now();
  try {
    console.log(`ok   ${name} (${await scenario(lab)}; ${seconds(began)} s)`);
    return true;
  } catch (error) {
    console.log(`FAIL ${name} (${seconds(began)} s)\n${inspect(error)}\n--- console\n${lab.console}\n---`);
    return false;
  }
}

/** Builds the emulator, or finds it in the cache, and returns its folder. */
function emulator(): string {
  const script = fileURLToPath(new URL("./build_qemu.sh", import.meta.url));
  const folder = execFileSync("sh", [script], {
    encoding: "utf8",
    timeout: BUILD_TIMEOUT_MS,
    stdio: ["ignore", "pipe", "inherit"],
  }).trim();
  console.log(`ok   emulator (${seconds(started)} s)`);
  return folder;
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(1);
}
