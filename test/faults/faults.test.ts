import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import process from "node:process";
import { afterAll, beforeAll, describe, test } from "#test";
import { SUPERVISED_VARIABLE } from "../../sim/instruments.ts";
import { ENGINE_CASES, type EngineCase } from "../support/engines.ts";
import { doublePath, SdkDouble } from "../support/sdk_double.ts";
import { FaultyClient, type FaultySubject } from "./client.ts";
import { FAULT_MATRIX, type FaultRow } from "./matrix.ts";
import { assertOutcome, nameOutcome, type Seen } from "./outcome.ts";
import { PATIENT_MS, World } from "./world.ts";

/** A call that has not settled after so many times its deadline never will. */
const PATIENCE = 10;

/** Longer than the longest of a row's waits, so that it says itself what it waits for. */
const TEST_TIMEOUT_MS = 3 * PATIENCE * PATIENT_MS;

/** A worker that is ended gives nothing back: the device it had opened, or in C its key pair. */
const LEFT_BY_WORKER = 1;

const hasDevice = process.env[SUPERVISED_VARIABLE] !== undefined;

for (const engineCase of ENGINE_CASES) {
  describe.skipIf(engineCase.skip)(`faults on engine ${engineCase.label}`, () => suite(engineCase));
}

function suite(engineCase: EngineCase): void {
  const { engine, label, options } = engineCase;
  const done = new Set<string>();
  let world: World;
  let subject: FaultySubject;
  let descriptors: number;
  let heldByC = 0;
  let double: SdkDouble | undefined;

  beforeAll(async () => {
    double = label.includes("double") ? new SdkDouble(doublePath ?? "") : undefined;
    double?.reset();
    double?.shareKey();
    descriptors = countDescriptors();
    heldByC = double?.live() ?? 0;
    world = await World.start(engine);
    const { region, trustedCertificates } = world.simulator;
    const setup = {
      engine,
      library: options.library,
      region,
      endpoint: world.relay.endpoint,
      trustedCertificates,
    };
    subject = new FaultyClient(setup, label.includes("software") ? world.nsm : undefined);
    await world.giveCredentials(subject);
    await assertServed();
  });
  afterAll(() => finish());

  for (const row of FAULT_MATRIX) {
    const expected = row.expected[engine];
    test(`${row.group}: ${row.name}: ${nameOutcome(expected)}; the next decrypt works`, async () => {
      done.add(row.name);
      if (typeof expected === "object" && "notAsked" in expected) return;
      const seen = await meet(row);
      await assertServed();
      assertOutcome(seen, expected, world.secrets);
    }, TEST_TIMEOUT_MS);
  }

  test("every fault was made, and nothing is left of them", async () => {
    assert.deepEqual([...done], FAULT_MATRIX.map(({ name }) => name));
    await finish();
    descriptors += engine === "direct" && hasDevice ? LEFT_BY_WORKER : 0;
    await until(() => countDescriptors() === descriptors, () => `${countDescriptors()}, not ${descriptors}`);
    if (double === undefined) return;
    assert.deepEqual(double.violations(), []);
    heldByC += engine === "sdk" ? LEFT_BY_WORKER : 0;
    await until(() => double?.live() === heldByC, () => `C holds ${double?.live()}, not ${heldByC}`);
  });

  async function finish(): Promise<void> {
    await subject[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  }

  async function meet(row: FaultRow): Promise<Seen> {
    const fault = await world.make(row, subject);
    try {
      const { asked, seen } = subject.decrypt(fault.ask);
      await asked;
      await fault.onceAsked?.();
      return await within(PATIENCE * fault.ask.timeoutMs, seen);
    } finally {
      await fault.end();
    }
  }

  /** The C client may not have returned yet from a call that was given up. */
  async function assertServed(): Promise<void> {
    const end = performance.now() + PATIENCE * PATIENT_MS;
    for (;;) {
      const seen = await within(PATIENCE * PATIENT_MS, subject.decrypt(world.ask).seen);
      const isOccupied = "text" in seen &&
        seen.text.includes("an earlier call into the C client has not returned");
      if (isOccupied && performance.now() < end) await pause();
      else return assertOutcome(seen, "plaintext", world.secrets);
    }
  }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing after ${ms} ms, ${PATIENCE} times the deadline`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function until(condition: () => boolean, state: () => string): Promise<void> {
  const end = performance.now() + PATIENT_MS;
  while (!condition()) {
    assert.ok(performance.now() < end, state());
    await pause();
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}

/** Sockets, each once, and devices: what threads and event loops have of their own stays with them. */
function countDescriptors(): number {
  const targets = readdirSync("/proc/self/fd").map(targetOf);
  const devices = targets.filter((target) => target.includes("nsm"));
  return new Set(targets.filter((target) => target.startsWith("socket:"))).size + devices.length;
}

/** Nothing for one that is gone meanwhile, as that of the list itself. */
function targetOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}
