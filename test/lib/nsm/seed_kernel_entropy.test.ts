import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, test } from "#test";
import { AttestationError, SystemCallError, TimeoutError } from "../../../mod.ts";
import { NsmClient, type RandomSource, seedKernelEntropy } from "../../../lib/nsm/mod.ts";
import { SoftwareNsm } from "../../../sim/nsm/nsm.ts";
import { isSysAdmin, WITHOUT_SYS_ADMIN } from "../../support/capabilities.ts";

const CHILD = fileURLToPath(new URL("../../support/seed_kernel_child.ts", import.meta.url));

const RUN = "Deno" in globalThis ? ["run", "--quiet", "--no-prompt", "--no-check", "--allow-ffi"] : [];

const onLinux = process.platform === "linux";
const REASON = onLinux ? "" : " (skipped: /dev/random takes bytes so on Linux only)";

/** Gives so many bytes at a time, and keeps what it gave. */
class Module implements RandomSource {
  readonly given: Uint8Array[] = [];
  readonly #length: number;

  constructor(length = 256) {
    this.#length = length;
  }

  getRandom(): Promise<Uint8Array> {
    const bytes = crypto.getRandomValues(new Uint8Array(this.#length));
    this.given.push(bytes);
    return Promise.resolve(bytes);
  }

  get isWiped(): boolean {
    return this.given.every((bytes) => bytes.every((byte) => byte === 0));
  }
}

describe.skipIf(!onLinux)(`seedKernelEntropy()${REASON}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-entropy-"));
  const sourcePath = join(folder, "rng_current");
  const noDevice = join(folder, "no-device");
  let software: SoftwareNsm;
  let nsm: NsmClient;

  beforeAll(async () => {
    software = await SoftwareNsm.create();
    nsm = new NsmClient(software);
  });
  beforeEach(() => {
    software.clearFaults();
    writeFileSync(sourcePath, "virtio_rng.0\n");
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test("does nothing where the kernel draws from the NSM by itself", async () => {
    writeFileSync(sourcePath, "nsm-hwrng\n");
    const before = software.requestCount;
    const report = await seedKernelEntropy(nsm, { sourcePath, devicePath: noDevice });
    assert.deepEqual(report, {
      outcome: "nsm-source",
      source: "nsm-hwrng",
      byteLength: 0,
      reseeded: false,
    });
    assert.equal(software.requestCount, before);
  });

  test("gives the real kernel 512 bytes, which count for who is CAP_SYS_ADMIN", async () => {
    const before = software.requestCount;
    const report = await seedKernelEntropy(nsm, { sourcePath });
    const counts = isSysAdmin();
    assert.deepEqual(report, {
      outcome: counts ? "credited" : "mixed",
      source: "virtio_rng.0",
      byteLength: 512,
      reseeded: counts,
    });
    assert.equal(software.requestCount, before + 2);
  });

  test("needs no right to files, and writes nothing where the bytes count", async () => {
    const { source, written, ...report } = await seedInChild([]);
    const counts = isSysAdmin();
    assert.deepEqual(report, { outcome: counts ? "credited" : "mixed", byteLength: 512, reseeded: counts });
    assert.equal(source, kernelsOwnSource());
    assert.ok(written < 512 === counts, `${written} bytes written`);
  });

  test("without CAP_SYS_ADMIN writes them to the device, and says that they do not count", async () => {
    const { source: _, written, ...report } = await seedInChild(isSysAdmin() ? WITHOUT_SYS_ADMIN : []);
    assert.deepEqual(report, { outcome: "mixed", byteLength: 512, reseeded: false });
    assert.ok(written >= 512, `${written} bytes written`);
  });

  test("without an NSM says so, and what the kernel has instead", async () => {
    const report = await seedKernelEntropy(undefined, { sourcePath, devicePath: noDevice });
    assert.deepEqual(report, {
      outcome: "no-nsm",
      source: "virtio_rng.0",
      byteLength: 0,
      reseeded: false,
    });
  });

  test("takes a missing source, an empty one and none for what they are", async () => {
    for (const content of ["", "\n", "none\n"]) {
      writeFileSync(sourcePath, content);
      assert.equal((await seedKernelEntropy(undefined, { sourcePath })).source, undefined);
    }
    const missing = join(folder, "missing");
    assert.equal((await seedKernelEntropy(nsm, { sourcePath: missing, byteLength: 32 })).source, undefined);
  });

  test("asks until it has enough, takes no more than that, and wipes all of it", async () => {
    const few = new Module(100);
    assert.equal((await seedKernelEntropy(few, { sourcePath, byteLength: 250 })).byteLength, 250);
    assert.equal(few.given.length, 3);
    assert.ok(few.isWiped);
    const many = new Module(1000);
    assert.equal((await seedKernelEntropy(many, { sourcePath, byteLength: 32 })).byteLength, 32);
    assert.equal(many.given.length, 1);
    assert.ok(many.isWiped);
  });

  test("a file that is no such device is an error, gets nothing, and the bytes are wiped", async () => {
    const devicePath = join(folder, "file");
    writeFileSync(devicePath, "");
    const module = new Module();
    await assert.rejects(seedKernelEntropy(module, { sourcePath, devicePath }), (error) => {
      assert.ok(error instanceof SystemCallError);
      assert.equal(error.message, "Cannot seed the kernel: ioctl failed with ENOTTY");
      assert.match(error.hint, /\/dev\/random/);
      return true;
    });
    assert.equal(readFileSync(devicePath, "utf8"), "");
    assert.equal(module.given.length, 1);
    assert.ok(module.isWiped);
  });

  test("a device that is not there is an error before the module is asked", async () => {
    const module = new Module();
    await assert.rejects(seedKernelEntropy(module, { sourcePath, devicePath: noDevice }), (error) => {
      assert.ok(error instanceof SystemCallError);
      assert.match(error.message, /^Cannot open \S+: open failed with ENOENT$/);
      return true;
    });
    assert.deepEqual(module.given, []);
  });

  test("passes on that the module refuses, or gives nothing", async () => {
    using _fault = software.injectFault({ kind: "refuse", errorName: "InternalError" });
    await assert.rejects(seedKernelEntropy(nsm, { sourcePath }), { nsmCode: "InternalError" });
    await assert.rejects(seedKernelEntropy(new Module(0), { sourcePath }), (error) => {
      assert.ok(error instanceof AttestationError);
      assert.equal(error.code, "ERR_ATTESTATION_ANSWER");
      assert.equal(error.message, "Cannot seed the kernel: the NSM gave no random bytes");
      assert.equal(error.hint, "Is something other than a Nitro Secure Module answering?");
      return true;
    });
  });

  test("waits for a silent module no longer than it may, and wipes what comes too late", async () => {
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    const silent: RandomSource = { getRandom: () => promise };
    await assert.rejects(seedKernelEntropy(silent, { sourcePath, timeoutMs: 20 }), (error) => {
      assert.ok(error instanceof TimeoutError);
      assert.match(error.message, /^Cannot seed the kernel: /);
      assert.match(error.hint, /The module takes one request at a time/);
      return true;
    });
    const reason = new Error("stop");
    await assert.rejects(
      seedKernelEntropy(silent, { sourcePath, signal: AbortSignal.abort(reason) }),
      reason,
    );
    const late = new Uint8Array(256).fill(7);
    resolve(late);
    await promise;
    await new Promise((done) => setTimeout(done, 0));
    assert.ok(late.every((byte) => byte === 0));
  });

  test("refuses options that are wrong", async () => {
    const wrong: readonly (readonly [unknown, object])[] = [
      [{ byteLength: 31 }, { name: "RangeError", message: /^byteLength / }],
      [{ byteLength: 4097 }, { name: "RangeError", message: /^byteLength / }],
      [{ byteLength: "512" }, { name: "TypeError", message: /^byteLength / }],
      [{ bytes: 512 }, { name: "TypeError", message: /^The seedKernelEntropy options / }],
      [{ devicePath: "/dev/\0random" }, { name: "TypeError", message: /^devicePath / }],
      [{ sourcePath: "" }, { name: "RangeError", message: /^sourcePath / }],
      [{ timeoutMs: 0 }, RangeError],
      [null, TypeError],
    ];
    for (const [options, kind] of wrong) {
      await assert.rejects(seedKernelEntropy(new Module(), options as object), kind);
    }
  });
});

async function seedInChild(wrapper: readonly string[]) {
  const [program = "", ...args] = [...wrapper, process.execPath, ...RUN, CHILD];
  const { stdout } = await promisify(execFile)(program, args);
  return JSON.parse(stdout) as Record<string, unknown> & { written: number };
}

function kernelsOwnSource(): string | undefined {
  const path = "/sys/class/misc/hw_random/rng_current";
  return existsSync(path) ? readFileSync(path, "utf8").trim() : undefined;
}
