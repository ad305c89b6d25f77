/**
 * Lets a client meet one fault, and waits for it.
 *
 * @module
 */
import type { FaultySubject } from "./client.ts";
import type { FaultRow } from "./matrix.ts";
import { assertOutcome, type Outcome, type Seen } from "./outcome.ts";
import type { World } from "./world.ts";

/**
 * @param world Surroundings of the client
 * @param subject The client
 * @param row The fault
 * @param options `onMade` is called when the fault is in force; a call that is to time out has `patience`
 *   times the usual time
 * @returns Outcome of a decrypt; the fault is over
 */
export async function meetFault(
  world: World,
  subject: FaultySubject,
  row: FaultRow,
  { onMade, patience = 1 }: { readonly onMade?: () => void; readonly patience?: number } = {},
): Promise<Seen> {
  const fault = await world.make(row, subject, patience);
  onMade?.();
  try {
    const { asked, seen } = subject.decrypt(fault.ask);
    await asked;
    await fault.onceAsked?.();
    return await seen;
  } finally {
    await fault.end();
  }
}

/**
 * Lets a client meet one fault, again with more time if the time was up before the call came to the point of
 * the fault: on a busy machine, earlier steps take longer.
 *
 * @param world Surroundings of the client
 * @param subject The client
 * @param row The fault
 * @param expected Outcome that a decrypt must have
 * @returns Outcome of the last decrypt; the fault is over
 */
export async function meetFaultInTime(
  world: World,
  subject: FaultySubject,
  row: FaultRow,
  expected: Outcome,
): Promise<Seen> {
  const stage = typeof expected === "object" && "stage" in expected ? expected.stage : undefined;
  for (const patience of [1, 4, 16]) {
    const seen = await meetFault(world, subject, row, { patience });
    if (stage === undefined || !("stage" in seen) || seen.stage === stage) return seen;
    await assertServed(world, subject);
  }
  return await meetFault(world, subject, row, { patience: 64 });
}

/** Asserts that a decrypt works. The C client may not have returned yet from a call that was given up. */
export async function assertServed(world: World, subject: FaultySubject): Promise<void> {
  for (;;) {
    const seen = await subject.decrypt(world.ask).seen;
    const isOccupied = "text" in seen &&
      seen.text.includes("an earlier call into the C client has not returned");
    if (!isOccupied) return assertOutcome(seen, "plaintext", world.secrets);
    await pause();
  }
}

/** Waits for a few turns of the event loop. */
export function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}
