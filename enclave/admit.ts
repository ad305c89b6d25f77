import type { Deadline } from "../lib/core/deadline.ts";
import type { Admission } from "./admission.ts";
import type { Gate, Judged, Permission } from "./gate.ts";
import type { RequestRecord } from "./telemetry/request_record.ts";
import { OverloadedError } from "./service_errors.ts";

/** Parts that a request must pass. */
export interface AdmitParts {
  /** Gate, which is asked first. */
  readonly gate: Gate;
  /** Admission, which bounds the number of requests that run at once. */
  readonly admission: Admission;
}

/**
 * Asks the policy, and then waits for the request's turn: a refused caller takes no place in the line. When the policy
 * is replaced meanwhile, the new one is asked, too.
 *
 * @param parts Parts that the request must pass
 * @param judged The request as the policy judges it
 * @param record Record of the request
 * @param deadline Deadline that ends the wait
 * @returns The turn, to dispose when the request is over
 * @throws {PolicyDeniedError} When the policy did not permit it
 * @throws {OverloadedError} When too many requests wait already
 */
export async function admit(
  { gate, admission }: AdmitParts,
  judged: Judged,
  record: RequestRecord,
  deadline: Deadline,
): Promise<Disposable> {
  deadline.throwIfPassed();
  const permission = gate.check(judged, record);
  deadline.stage = "admission";
  const turn = await enter(admission, permission, record, deadline);
  try {
    permission.confirm();
    return turn;
  } catch (error) {
    turn[Symbol.dispose]();
    throw error;
  }
}

async function enter(
  admission: Admission,
  permission: Permission,
  { turnsBy }: RequestRecord,
  { signal }: Deadline,
): Promise<Disposable> {
  try {
    return await admission.enter(turnsBy, signal);
  } catch (error) {
    // A caller that tries again, as the answer says, must not use up the rate by it. One that gave up had a place.
    if (error instanceof OverloadedError) permission.giveBack();
    throw error;
  }
}
