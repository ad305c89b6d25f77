import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, test } from "#test";
import type { EnduranceTask, Footprint } from "../../support/endurance_child.ts";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../../support/engines.ts";

const slow = process.env["SLOW"] === "1";
const runtime = "Deno" in globalThis ? "Deno" : "Node";

const CHILD = fileURLToPath(new URL("../../support/endurance_child.ts", import.meta.url));

/** V8's young generation grows by megabytes whenever it likes; held small, what is left is ours. */
const V8_FLAGS = ["--expose-gc", "--max-semi-space-size=1"];
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  Node: ["node", ...V8_FLAGS],
  Deno: ["deno", "run", "--quiet", "--no-prompt", "--allow-all", `--v8-flags=${V8_FLAGS.join(",")}`],
};

const WARM_UP = 500;
const SAMPLES = 10;

/** Often enough to pass through the NSM and TLS many times: a document every so many milliseconds… */
const DOCUMENT_MAX_AGE_MS = 40;
/** …and a connection that KMS closes. */
const CLOSE_EVERY_MS = 250;

/**
 * Bounds of resident memory. Measured over 10,000 decrypts: 0.1 KiB each on Node, 0.4 on Deno, most of it
 * fragmentation; over 1,000 up to 1.1. A code cache or a heap page may come at any time, once.
 */
const STEADY_GROWTH_KIB_PER_DECRYPT = slow ? 1 : 3;
/**
 * On sdk-client the thread of the C client has a heap of its own, which V8 lets grow by some 10 MiB (0.5 KiB a
 * decrypt on Node, 5 on Deno) before it collects it for the first time: flat only after 20,000 and more.
 */
const STEADY_GROWTH_KIB_PER_CLIENT = 16;
const TOTAL_GROWTH_KIB = 24 * 1024;
/** The runtimes' own pools come and go. */
const THREADS_MORE = 2;
const DESCRIPTORS_MORE = 2;

/** The processes have no simulator in them: they need the device. */
for (const engineCase of ENGINE_CASES.filter(({ label }) => !label.includes("software"))) {
  const { engine, label, skip } = engineCase;
  const rounds = engine === "sdk-client" ? 200 : slow ? 10_000 : 1000;
  const hurried = engine === "sdk-client" && !slow;
  const reason = hurried && !skip ? " (skipped: takes half a minute, SLOW=1 runs it)" : "";
  describe.skipIf(skip || hurried)(`endurance of engine ${label}${reason}`, () => suite(engineCase, rounds));
}

function suite(engineCase: EngineCase, rounds: number): void {
  let enclave: Enclave;

  beforeAll(async () => {
    enclave = await startEnclave();
  });
  afterAll(() => enclave[Symbol.asyncDispose]());

  test(`${rounds} decrypts in a row: memory, threads and descriptors stay flat`, async () => {
    const { simulator } = enclave;
    const { keyId } = await simulator.createKey();
    const ciphertext = await simulator.encrypt({ keyId, plaintext: new Uint8Array(1000).fill(0x2a) });
    const options = enclave.optionsFor(engineCase);
    const { speaksHttps } = engineCase;
    using _churn = speaksHttps ? closeConnections(enclave) : undefined;
    const footprints = await runChild({
      options: speaksHttps ? { ...options, attestationMaxAgeMs: DOCUMENT_MAX_AGE_MS } : options,
      ciphertext: Buffer.from(ciphertext).toString("base64"),
      warmUp: speaksHttps ? WARM_UP : rounds / SAMPLES,
      rounds,
      samples: SAMPLES,
    });
    const steady = speaksHttps ? STEADY_GROWTH_KIB_PER_DECRYPT : STEADY_GROWTH_KIB_PER_CLIENT;
    assertFlat(footprints, rounds, steady);
  }, 600_000);
}

function closeConnections({ simulator }: Enclave): Disposable {
  const fault = { kind: "closeWhenIdle", afterMs: 0 } as const;
  const timer = setInterval(() => void simulator.kms.injectFault(fault, { times: 1 }), CLOSE_EVERY_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

async function runChild(task: EnduranceTask): Promise<Footprint[]> {
  const [program = "", ...args] = COMMANDS[runtime] ?? [];
  const { stdout } = await promisify(execFile)(program, [...args, CHILD, JSON.stringify(task)]);
  return JSON.parse(stdout) as Footprint[];
}

function assertFlat(footprints: readonly Footprint[], rounds: number, steadyKiB: number): void {
  const of = (name: keyof Footprint) => footprints.map((footprint) => footprint[name]);
  const resident = of("residentKiB");
  const steps = resident.slice(1).map((size, index) => size - (resident[index] ?? 0));
  const steady = median(steps) * SAMPLES / rounds;
  const seen = `resident KiB: ${resident.join(" ")}; threads: ${of("threads").join(" ")}; ` +
    `descriptors: ${of("descriptors").join(" ")}`;
  assert.ok(steady < steadyKiB, `${steady} KiB more with each decrypt; ${seen}`);
  assert.ok(rise(resident) < TOTAL_GROWTH_KIB, seen);
  assert.ok(rise(of("threads")) <= THREADS_MORE, seen);
  assert.ok(rise(of("descriptors")) <= DESCRIPTORS_MORE, seen);
}

/** A jump does not count, a slope does. */
function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

function rise(values: readonly number[]): number {
  return Math.max(...values) - (values[0] ?? 0);
}
