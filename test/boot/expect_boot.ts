import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { measureText } from "../../deploy/keys/make_policy.ts";
import type { BuiltImage } from "./images.ts";
import { type Boot, INSTANCE_ID, MODULE_ID, ROLE } from "./lab.ts";

const ZEROS = "00".repeat(48);

/**
 * Longest time from start to `/healthz`, in seconds of processor time: those of the clock depend on who else wants the
 * processor, and those of the enclave's own clock on what the emulator makes of it. It was 27 to 52 on machines of one kind
 * on different days.
 */
const MAX_HEALTHY_SECONDS = 80;

/**
 * Ticks, caches that others have emptied, and a core whose other half is at work cost a machine up to twice the time where
 * it waits for the processor, or is not alone.
 */
const MAX_BUSY_SECONDS = 120;

/**
 * Checks all that a boot shows about an enclave, whatever the application in it.
 *
 * @param boot The boot
 * @param image The image that was built
 * @param pcrs Registers that differ from those that the builder printed. Default: none
 * @returns Times and memory, for people
 */
export async function expectBoot(
  { report, result }: Boot,
  { summary }: BuiltImage,
  pcrs: Readonly<Record<string, string>> = {},
): Promise<string> {
  const expected: Readonly<Record<string, string>> = {
    8: ZEROS,
    ...summary.pcrs,
    ...pcrs,
    3: await measureText(ROLE),
    4: await measureText(INSTANCE_ID),
    15: ZEROS,
  };
  assert.deepEqual(report.pcrs, { ...expected, 16: ZEROS });
  assert.deepEqual(report.lockedPcrs, [...Array(16).keys()]);
  assert.equal(report.moduleId, MODULE_ID);
  expectDocument(report, expected);
  expectEntropy(report, result.console);
  expectExtension(report.extended);
  assert.match(result.console, /^check: exit code 0\r?$/m);
  assert.equal(result.code, 0, "the enclave did not power itself off");

  const { processor = Infinity, clock = Infinity, others = 0 } = result.seen["healthy"] ?? {};
  const isBusy = clock > processor * 1.5 || others > clock / 4;
  const limit = isBusy ? MAX_BUSY_SECONDS : MAX_HEALTHY_SECONDS;
  assert.ok(processor <= limit, `/healthz answered after ${processor} s of processor time`);
  return [
    `/healthz after ${processor} s of processor time, ${clock.toFixed(1)} s of the clock`,
    `${report.memoryLeftMib} of ${summary.image.leastMemoryMib} MiB left`,
  ].join(", ");
}

/** QEMU's documents are not signed: no strict reader may take them, and the application must say so. */
function expectDocument(
  { ready, attestation }: Boot["report"],
  expected: Readonly<Record<string, string>>,
): void {
  assert.equal(ready.status, 503);
  assert.equal(ready.body["nsm"], false);
  assert.equal(ready.body["policy"] ?? true, true);
  assert.equal(attestation.refusal, "ERR_ATTESTATION_ALGORITHM");
  assert.ok(attestation.hasNonce, "the document has another nonce");
  assert.ok(attestation.hasKeys, "the document does not vouch for the boot's keys");
  assert.deepEqual(Object.keys(attestation.pcrs).map(Number), [...Array(16).keys()]);
  for (const [index, value] of Object.entries(attestation.pcrs)) {
    assert.equal(value, expected[index] ?? ZEROS);
  }
}

/** The kernel has no source of random bytes but the module, and draws from it; or is seeded by us. */
function expectEntropy({ hardwareSource, entropy }: Boot["report"], console: string): void {
  assert.equal(hardwareSource, "nsm-hwrng");
  const drawing = { outcome: "nsm-source", source: "nsm-hwrng", byteLength: 0, reseeded: false };
  assert.deepEqual(entropy.drawing, drawing);
  assert.deepEqual(entropy.alone, { outcome: "credited", byteLength: 512, reseeded: true });
  assert.equal(entropy.available, 256);
  assert.ok(
    console.includes(`"entropy":${JSON.stringify(drawing)}`),
    "the application did not seed the kernel",
  );
}

function expectExtension(extended: Boot["report"]["extended"]): void {
  const value = createHash("sha384").update(new Uint8Array(48)).update("boot").digest("hex");
  assert.deepEqual(extended, {
    before: ZEROS,
    after: value,
    described: value,
    locked: true,
    refusal: "ReadOnlyIndex",
    inDocument: value,
  });
}
