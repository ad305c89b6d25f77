import assert from "node:assert/strict";
import process from "node:process";
import { afterAll, beforeAll, describe, test } from "#test";
import { SUPERVISED_VARIABLE } from "../../sim/instruments.ts";
import { countDescriptors } from "../support/descriptors.ts";
import { ENGINE_CASES, type EngineCase, WIRE_CASES } from "../support/engines.ts";
import { shareOf } from "../support/share.ts";
import { doublePath, SdkDouble } from "../support/sdk_double.ts";
import { FaultyClient, type FaultySubject } from "./client.ts";
import { FAULT_MATRIX, type FaultRow } from "./matrix.ts";
import { assertOutcome, nameOutcome } from "./outcome.ts";
import { until } from "../support/until.ts";
import { assertServed, meetFaultInTime } from "./siege.ts";
import { World } from "./world.ts";

/** A worker that is ended gives nothing back: the device it had opened, or in C its key pair. */
const LEFT_BY_WORKER = 1;
const WORKER_ENDS = "a worker ends in flight";

/** Rows on which the software NSM, in place of the device, can make a difference. */
const OF_THE_NSM: readonly FaultRow[] = FAULT_MATRIX.filter(({ group }) =>
  group === "NSM" || group === "process"
);

const hasDevice = process.env[SUPERVISED_VARIABLE] !== undefined;

for (const engineCase of ENGINE_CASES) {
  describe.skipIf(engineCase.skip)(`faults on engine ${engineCase.label}`, () => suite(engineCase));
}

function suite(engineCase: EngineCase): void {
  const { engine, label, options } = engineCase;
  const first = ENGINE_CASES.indexOf(engineCase) % 2 === 0 ? "Deno" : "Node";
  const rows = shareOf(WIRE_CASES.includes(engineCase) ? FAULT_MATRIX : OF_THE_NSM, first);
  const leftByWorker = rows.some(({ name }) => name === WORKER_ENDS) ? LEFT_BY_WORKER : 0;
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
    subject = new FaultyClient(setup, {
      nsm: label.includes("software") ? world.nsm : undefined,
      worker: new URL("./worker.ts", import.meta.url),
    });
    await world.giveCredentials(subject);
    await assertServed(world, subject);
  });
  afterAll(() => finish());

  for (const row of rows) {
    const expected = row.expected[engine];
    test(`${row.group}: ${row.name}: ${nameOutcome(expected)}; the next decrypt works`, async () => {
      done.add(row.name);
      if (typeof expected === "object" && "notAsked" in expected) return;
      const seen = await meetFaultInTime(world, subject, row, expected);
      await assertServed(world, subject);
      assertOutcome(seen, expected, world.secrets);
    });
  }

  test("every fault was made, and nothing is left of them", async () => {
    assert.deepEqual([...done], rows.map(({ name }) => name));
    await finish();
    descriptors += engine === "direct" && hasDevice ? leftByWorker : 0;
    await until(() => countDescriptors() === descriptors, () => `${countDescriptors()}, not ${descriptors}`);
    if (double === undefined) return;
    assert.deepEqual(double.violations(), []);
    heldByC += engine === "sdk" ? leftByWorker : 0;
    await until(() => double?.live() === heldByC, () => `C holds ${double?.live()}, not ${heldByC}`);
  });

  async function finish(): Promise<void> {
    await subject[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  }
}
