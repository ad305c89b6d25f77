import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, describe, test } from "#test";
import { NsmClient } from "../../lib/nsm/nsm_client.ts";
import type { RandomSource } from "../../lib/nsm/seed_kernel_entropy.ts";
import { seedEntropy } from "../../enclave/entropy.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { SoftwareNsm } from "../../sim/nsm/nsm.ts";
import { isSysAdmin } from "../support/capabilities.ts";

const onLinux = process.platform === "linux";
const REASON = onLinux ? "" : " (skipped: /dev/random takes bytes so on Linux only)";

describe.skipIf(!onLinux)(`seedEntropy()${REASON}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-entropy-"));
  const sourcePath = join(folder, "rng_current");
  afterAll(() => rmSync(folder, { recursive: true }));

  /** Collects the one line that the log gets, without its time. */
  async function logOf(nsm: RandomSource | undefined, source = "virtio_rng.0", devicePath = "/dev/random") {
    writeFileSync(sourcePath, `${source}\n`);
    const lines: string[] = [];
    const logger = createLogger("debug", (line) => lines.push(line));
    await seedEntropy(nsm, logger, { sourcePath, devicePath, timeoutMs: 50 });
    assert.equal(lines.length, 1);
    const { time: _, ...line } = JSON.parse(lines[0] ?? "");
    return line;
  }

  test("logs what it found and did", async () => {
    using software = await SoftwareNsm.create();
    const nsm = new NsmClient(software);
    const nothing = { byteLength: 0, reseeded: false };
    assert.deepEqual(await logOf(nsm, "nsm-hwrng"), {
      level: "info",
      entropy: { outcome: "nsm-source", source: "nsm-hwrng", ...nothing },
      msg: "the kernel draws from the NSM by itself",
    });
    assert.deepEqual(await logOf(undefined), {
      level: "warn",
      entropy: { outcome: "no-nsm", source: "virtio_rng.0", ...nothing },
      msg: "the kernel is not seeded: there is no NSM",
    });
    const counts = isSysAdmin();
    const { level, entropy: { outcome, byteLength } } = await logOf(nsm);
    assert.deepEqual([level, outcome, byteLength], [
      counts ? "info" : "warn",
      counts ? "credited" : "mixed",
      512,
    ]);
  });

  test("logs what failed, and goes on", async () => {
    const silent: RandomSource = { getRandom: () => new Promise(() => {}) };
    const { level, failure, msg } = await logOf(silent);
    assert.deepEqual([level, failure.code, msg], ["warn", "ERR_TIMEOUT", "the kernel could not be seeded"]);
    const noDevice = await logOf(silent, "none", join(folder, "no-device"));
    assert.equal(noDevice.failure.code, "ERR_SYSTEM_CALL");
    assert.match(noDevice.failure.hint, /\/dev/);
  });
});
