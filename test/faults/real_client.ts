/**
 * Tries the fault matrix on engine `sdk-client` over the real C SDK: a process of its own for every try, so
 * that a crash is an outcome. What came of it goes into real_results.json, from which table.ts writes a
 * column.
 *
 * `ENCLAVE_KMS_SDK_LIBRARY=<path> node test/faults/real_client.ts [--tries 3] [--row <part of a name>]
 * [--runtime Deno]`; only the whole table, on Node.js, is written down.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { release } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { SUPERVISED_VARIABLE } from "../../sim/instruments.ts";
import { runSupervised } from "../support/supervised_run.ts";
import { FAULT_MATRIX, type FaultRow } from "./matrix.ts";
import type { Seen } from "./outcome.ts";
import { addTo, describeTally, REAL_RESULTS, type RealResults, type RealRow } from "./real_results.ts";
import { revealBytes } from "../support/disguise.ts";
import { RemoteClient } from "./remote_client.ts";
import { meetFault } from "./siege.ts";
import { World } from "./world.ts";

/** The C client takes a second for each call over TCP, and hangs for ever where it hangs. */
const TIMEOUT_MS = 5000;

/** Most starts of the process: one that dies before the fault does not count. */
const MAX_STARTS = 10;

const { values } = parseArgs({
  options: {
    tries: { type: "string", default: "3" },
    row: { type: "string", default: "" },
    runtime: { type: "string", default: "Node" },
  },
});

const library = process.env["ENCLAVE_KMS_SDK_LIBRARY"];
if (library === undefined) {
  console.log("Skipped: ENCLAVE_KMS_SDK_LIBRARY does not name the real C SDK");
} else if (process.env[SUPERVISED_VARIABLE] === undefined) {
  process.exitCode = await runSupervised() ?? 1;
} else {
  await main(library);
}

async function main(library: string): Promise<void> {
  await using world = await World.start("sdk-client", TIMEOUT_MS);
  const wanted = FAULT_MATRIX.filter(({ name }) => name.includes(values.row));
  const rows: Record<string, RealRow> = {};
  for (const row of wanted) {
    let tries: RealRow = { fault: {}, next: {} };
    for (let index = 0; index < Number(values.tries); index++) {
      const { fault, next } = await tryOnce(world, library, row);
      tries = { fault: addTo(tries.fault, fault), next: addTo(tries.next, next) };
    }
    rows[row.name] = tries;
    console.log(
      `${row.group}: ${row.name}: ${describeTally(tries.fault)}; then ${describeTally(tries.next)}`,
    );
  }
  if (wanted.length < FAULT_MATRIX.length || values.runtime !== "Node") return;
  const results: RealResults = {
    platform: `Node.js ${process.versions.node}, Linux ${release().split("-")[0]}`,
    tries: Number(values.tries),
    rows,
  };
  writeFileSync(REAL_RESULTS, `${JSON.stringify(results, null, 2)}\n`);
}

/** Runs a decrypt under the fault, and the next one by the same process. */
async function tryOnce(world: World, library: string, row: FaultRow) {
  for (let start = 0; start < MAX_STARTS; start++) {
    await using subject = await startClient(world, library);
    let isMade = false;
    const met = meetFault(world, subject, row, { onMade: () => (isMade = true) });
    const fault = await outcomeOf(world, met);
    if (!isMade) continue;
    return { fault, next: await outcomeOf(world, subject.decrypt(world.ask).seen) };
  }
  return { fault: "never asked", next: "never asked" };
}

async function outcomeOf(world: World, seen: Promise<Seen>): Promise<string> {
  try {
    return nameSeen(await seen, world);
  } catch (error) {
    const { message } = error as Error;
    return message.startsWith("nothing after") ? "hung" : message.replace("The process ended with ", "");
  }
}

async function startClient(world: World, library: string): Promise<RemoteClient> {
  const { region, trustedCertificates } = world.simulator;
  const { endpoint } = world.relay;
  const setup = { engine: "sdk-client", library, region, endpoint, trustedCertificates } as const;
  const client = await RemoteClient.start(values.runtime, setup);
  await world.giveCredentials(client);
  return client;
}

function nameSeen(seen: Seen, world: World): string {
  if (!("plaintext" in seen)) return seen.code ?? seen.error;
  return Buffer.compare(revealBytes(seen.plaintext), world.plaintext) === 0
    ? "plaintext"
    : "another plaintext";
}
