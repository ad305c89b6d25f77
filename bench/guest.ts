import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Row } from "./table.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SECTION = "Over vsock and over TCP, in an emulated guest";

/** Line that `test/vsock/scenarios/throughput.ts` prints for each kind of work. */
const RESULT = /^ok +(\S.*?), vsock against TCP.*?([\d.]+) against ([\d.]+) (\S+), ratio ([\d.]+)/gm;

/** It boots in seconds and measures for half a minute; a busy machine takes longer. */
const TIMEOUT_MS = 600_000;

/**
 * Measures the same work over vsock and over TCP, in a guest: AF_VSOCK is never used on the machine itself.
 *
 * @param progress Is told when there is no guest to be had
 * @returns Nothing, then
 */
export async function guestRows(progress: (text: string) => void): Promise<Row[]> {
  try {
    const args = ["test/vsock/run.ts", "throughput"];
    const options = { cwd: ROOT, timeout: TIMEOUT_MS };
    const { stdout } = await promisify(execFile)(process.execPath, args, options);
    return [...stdout.matchAll(RESULT)].flatMap(([, what = "", vsock, tcp, unit = "", ratio]) => [
      row(`${what}, vsock`, Number(vsock), unit, Number(ratio)),
      row(`${what}, TCP`, Number(tcp), unit, 1),
    ]);
  } catch (error) {
    progress(`no guest, so nothing of vsock: ${String(error).split("\n")[0]}`);
    return [];
  }
}

function row(what: string, perSecond: number, unit: string, ratio: number): Row {
  return {
    section: SECTION,
    what,
    runtime: "Node",
    unit: unit.replace("/s", ""),
    perSecond,
    ratio,
    baseline: "TCP",
  };
}
