import type { Deadline } from "../lib/core/deadline.ts";
import type { Admission } from "./admission.ts";
import type { Gate, Judged, Permission } from "./gate.ts";
import type { RequestRecord } from "./telemetry/request_record.ts";
import { OverloadedError } from "./service_errors.ts";

/** What a request has to pass. */
export interface AdmitParts {
  /** Asked first. */
  readonly gate: Gate;
  /** Bounds what runs at once. */
  readonly admission: Admission;
}

/**
 * Asks the policy, and then waits for the request's turn: a refused caller takes no place in the line. Where the
 * policy is replaced meanwhile, the new one is asked as well.
 *
 * @param parts What has to be passed
 * @param judged The request as the policy judges it
 * @param record Record of the request
 * @param deadline Ends the wait
 * @returns What to dispose when the request is over
 * @throws {PolicyDeniedError} When the policy did not say yes
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
    // Whoever comes again, as the answer says, is not to use up the rate by it. One that gave up had a place.
    if (error instanceof OverloadedError) permission.giveBack();
    throw error;
  }
}
