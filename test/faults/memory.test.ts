import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { afterAll, beforeAll, describe, test } from "#test";
import { ENGINE_CASES, type EngineCase } from "../support/engines.ts";
import { countInMemory } from "../support/memory_scan.ts";
import { shareOf } from "../support/share.ts";
import { FAULT_MATRIX, type FaultRow } from "./matrix.ts";
import { assertOutcome, isTimeout } from "./outcome.ts";
import { RemoteClient } from "./remote_client.ts";
import { assertServed, meetFaultInTime } from "./siege.ts";
import { World } from "./world.ts";

const runtime = "Deno" in globalThis ? "Deno" : "Node";

/** The process has no simulator: it needs the device, and an engine that promises something. */
const cases = ENGINE_CASES.filter(({ label }) =>
  !label.includes("software") && !label.startsWith("sdk-client")
);

/** A thread that is ended wipes nothing: nobody can promise anything of it. */
const UNPROMISED = ["a worker ends in flight"];

for (const engineCase of shareOf(cases)) {
  describe.skipIf(engineCase.skip)(
    `memory after faults, engine ${engineCase.label}`,
    () => suite(engineCase),
  );
}

function suite({ engine, options }: EngineCase): void {
  let world: World;
  let subject: RemoteClient;

  beforeAll(async () => {
    world = await World.start(engine);
    const { region, trustedCertificates } = world.simulator;
    const { endpoint } = world.relay;
    subject = await RemoteClient.start(runtime, {
      engine,
      library: options.library,
      region,
      endpoint,
      trustedCertificates,
    });
    await world.giveCredentials(subject);
  });
  afterAll(async () => {
    await subject[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  test("the search finds what is kept on purpose", async () => {
    await subject.keep(world.ask);
    const { plaintext, plaintextEnd, secretKeys } = search();
    assert.ok(plaintext >= 1 && plaintextEnd >= 1, "no plaintext found");
    assert.ok(secretKeys.some((count) => count >= 1), "no secret access key found");
    await subject.close();
  });

  test("no plaintext and no secret key after every fault of the matrix", async () => {
    const rows = FAULT_MATRIX.filter((row) => !UNPROMISED.includes(row.name));
    assert.equal(rows.length, FAULT_MATRIX.length - UNPROMISED.length);
    await meetAll(rows.filter((row) => !isInClear(row)));
    await subject.close();
    const found = search();
    assertGone(found);
    assert.equal(found.base64, 0, "the plaintext is left in base64");

    // What KMS sends in clear, against its own rules, is in its answer, which nobody can wipe.
    await meetAll(rows.filter(isInClear));
    await subject.close();
    assertGone(search());
  });

  async function meetAll(rows: readonly FaultRow[]): Promise<void> {
    assert.ok(rows.length > 0);
    await world.giveCredentials(subject);
    for (const row of rows) {
      const expected = row.expected[engine];
      assertOutcome(await meetFaultInTime(world, subject, row, expected), expected, world.secrets);
      // What was given up may still be waited for: the next fault is not to meet it.
      if (isTimeout(expected)) await assertServed(world, subject);
    }
    await assertServed(world, subject);
  }

  function search(): Found {
    const { plaintext, secretKeys } = world;
    const names = secretKeys.map((_, index) => `secretKey${index}`);
    const counts = countInMemory(subject.pid, {
      ...Object.fromEntries(secretKeys.map((key, index) => [`secretKey${index}`, key])),
      plaintext: plaintext.subarray(0, 16),
      plaintextEnd: plaintext.subarray(-16),
      base64: new TextEncoder().encode(Buffer.from(plaintext).toString("base64")),
    } as Record<string, Uint8Array>);
    const { plaintext: begin = 0, plaintextEnd = 0, base64 = 0 } = counts;
    return { plaintext: begin, plaintextEnd, base64, secretKeys: names.map((name) => counts[name] ?? 0) };
  }
}

/** Count of each secret in the memory of the process. */
interface Found {
  readonly plaintext: number;
  readonly plaintextEnd: number;
  readonly base64: number;
  /** For each secret access key. */
  readonly secretKeys: readonly number[];
}

function assertGone({ plaintext, plaintextEnd, secretKeys }: Found): void {
  assert.equal(plaintext, 0, "the beginning of the plaintext is left");
  assert.equal(plaintextEnd, 0, "the end of the plaintext is left");
  assert.ok(secretKeys.every((count) => count === 0), `secret access keys are left: ${secretKeys}`);
}

function isInClear({ made }: FaultRow): boolean {
  return made.by === "kms" && /^plaintext(Instead|Beside)$/.test(made.fault.kind);
}
