/**
 * Lets a client meet one fault, and waits for it.
 *
 * @module
 */
import type { FaultySubject } from "./client.ts";
import type { FaultRow } from "./matrix.ts";
import { assertOutcome, type Seen } from "./outcome.ts";
import { PATIENT_MS, type World } from "./world.ts";

/** A call that has not settled after so many times its deadline never will. */
const PATIENCE = 10;

/** Longer than all waits of one fault, so that what is waited for says so itself. */
export const FAULT_TIMEOUT_MS: number = 3 * PATIENCE * PATIENT_MS;

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
    return await within(PATIENCE * fault.ask.timeoutMs, seen);
  } finally {
    await fault.end();
  }
}

/** Asserts that a decrypt works. The C client may not have returned yet from a call that was given up. */
export async function assertServed(world: World, subject: FaultySubject): Promise<void> {
  const end = performance.now() + PATIENCE * PATIENT_MS;
  for (;;) {
    const seen = await within(PATIENCE * PATIENT_MS, subject.decrypt(world.ask).seen);
    const isOccupied = "text" in seen &&
      seen.text.includes("an earlier call into the C client has not returned");
    if (!isOccupied || performance.now() >= end) return assertOutcome(seen, "plaintext", world.secrets);
    await pause();
  }
}

/** A few turns of the event loop. */
export function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
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
