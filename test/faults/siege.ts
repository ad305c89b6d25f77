/**
 * Lets a client meet one fault, and waits for it.
 *
 * @module
 */
import type { FaultySubject } from "./client.ts";
import type { FaultRow } from "./matrix.ts";
import { assertOutcome, type Seen } from "./outcome.ts";
import type { World } from "./world.ts";

/**
 * @param world What is around the client
 * @param subject The client
 * @param row The fault
 * @param onMade Called when the fault is in force
 * @returns What a decrypt came to; the fault is over
 */
export async function meetFault(
  world: World,
  subject: FaultySubject,
  row: FaultRow,
  onMade?: () => void,
): Promise<Seen> {
  const fault = await world.make(row, subject);
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

/** A few turns of the event loop. */
export function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}
