/**
 * Seeding a kernel from /dev/nsm, which the software NSM answers: a kernel of its own, whose random numbers
 * nobody needs afterwards, as root and without CAP_SYS_ADMIN.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { NsmClient, seedKernelEntropy } from "../../../lib/nsm/mod.ts";
import { isSysAdmin, WITHOUT_SYS_ADMIN } from "../../support/capabilities.ts";
import { startEnclave } from "../../support/engines.ts";
import { check } from "../check.ts";

const CHILD = fileURLToPath(new URL("../../support/seed_kernel_child.ts", import.meta.url));
const RUN = "Deno" in globalThis ? ["run", "--quiet", "--no-prompt", "--no-check", "--allow-ffi"] : [];
const RNG_CURRENT = "/sys/class/misc/hw_random/rng_current";

await using enclave = await startEnclave();
const { nsm: software } = enclave.simulator;

await check("root: the kernel takes 512 bytes of /dev/nsm, counts them, and draws from them", async () => {
  assert.ok(isSysAdmin());
  const before = software.requestCount;
  using nsm = NsmClient.open();
  const report = await seedKernelEntropy(nsm);
  assert.deepEqual(report, { outcome: "credited", source: rngCurrent(), byteLength: 512, reseeded: true });
  assert.equal(software.requestCount, before + 2);
  assert.equal(entropyAvailable(), 256);
  return `Linux ${release()}, rng_current ${report.source ?? "none"}, entropy_avail ${entropyAvailable()}`;
});

await check("without CAP_SYS_ADMIN: the bytes are written, and do not count", async () => {
  const [program = "", ...args] = [...WITHOUT_SYS_ADMIN, process.execPath, ...RUN, CHILD];
  const { stdout } = await promisify(execFile)(program, args);
  const { written, ...report } = JSON.parse(stdout) as Record<string, unknown> & { written: number };
  assert.deepEqual(report, { outcome: "mixed", byteLength: 512, reseeded: false });
  assert.ok(written >= 512, `${written} bytes written`);
});

function rngCurrent(): string | undefined {
  const name = existsSync(RNG_CURRENT) ? readFileSync(RNG_CURRENT, "utf8").trim() : "none";
  return name === "none" ? undefined : name;
}

function entropyAvailable(): number {
  return Number(readFileSync("/proc/sys/kernel/random/entropy_avail", "utf8"));
}
