import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { compileInstrument, supervise } from "../../sim/instruments.ts";

/**
 * Runs this program again, with its own arguments and a `/dev/nsm`.
 *
 * @returns Its exit code; undefined when there is no C compiler, and so no device
 */
export async function runSupervised(): Promise<number | undefined> {
  if (await compileInstrument("nsm-supervisor") === undefined) return undefined;
  const sockets = mkdtempSync(join(tmpdir(), "enclave-kms-nsm-"));
  try {
    const [program = "", ...args] = supervise([process.execPath, ...process.argv.slice(1)], sockets);
    return spawnSync(program, args, { stdio: "inherit" }).status ?? 1;
  } finally {
    rmSync(sockets, { recursive: true, force: true });
  }
}
